"""What a pinned and a cached answer cost when a thousand instances are kept, and when a million are."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
from sqlalchemy import insert, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.bench.effort import EFFORT
from tests.bench.goals import at_most
from tests.bench.measure import Call, Cost, alternate
from tests.serving import write_config
from vendorsrv import Settings, VendordataRequest
from vendorsrv.cache import MemoryCache
from vendorsrv.keeper import Keeper
from vendorsrv.pin_cipher import PinCipher
from vendorsrv.pin_schema import prepare, upgrade
from vendorsrv.pin_store import PinStore
from vendorsrv.pin_table import PINS
from vendorsrv.pin_url import async_url
from vendorsrv.pins import Pins
from vendorsrv.registry import Registry

FEW: Final = 1_000
#: What an answer with many instances may cost, in terms of one with few.
GOAL: Final = 1.5
ANSWER = b'0{"role":"mail-server","domain":"example.org","hostname":"mx1.example.org","relayhost":null}'
POSTGRESQL = "postgresql://postgres@127.0.0.1"
ROWS_AT_ONCE = 5_000


def instances(count: int) -> Iterator[str]:
    """The same instances in each run."""
    numbers = random.Random(count)
    return (str(uuid.UUID(int=numbers.getrandbits(128))) for _ in range(count))


def asked(count: int) -> list[str]:
    """Some of them, in an order that no page cache can guess."""
    chosen = list(itertools.islice(instances(count), 0, count, max(1, count // FEW)))
    random.Random(1).shuffle(chosen)
    return chosen


async def fill(store: PinStore, count: int) -> None:
    """Pin an answer for so many instances."""
    rows = (
        {"instance_id": each, "handler": "mail", "answer": ANSWER, "claimed_at": 1.0, "pinned_at": 1.0}
        for each in instances(count)
    )
    engine = create_async_engine(store.url)
    async with engine.begin() as connection:
        while batch := list(itertools.islice(rows, ROWS_AT_ONCE)):
            await connection.execute(insert(PINS), batch)
    await engine.dispose()


def pinned(store: PinStore, count: int) -> Call:
    """A read of a pinned answer, through everything that a request goes through."""
    pins = Pins(store, PinCipher([]), lease=5.5)
    ids = itertools.cycle(asked(count))

    async def call() -> object:
        instance = next(ids)
        body = pins.peek(instance, "mail") or await pins.get(instance, "mail")
        assert body == ANSWER[1:]
        return body

    return call


async def cached(folder: Path, count: int) -> Call:
    """A read of an answer in the cache of the process, through everything that a request goes through."""
    settings = Settings.from_file(write_config(folder, handlers="tests.bench.handlers:Cached"))
    (enabled,) = Registry(settings).handlers.values()
    cache = MemoryCache(2**31)
    keeper = Keeper(enabled, cache, None, settings.max_answer_bytes)
    for each in instances(count):
        await cache.set(keeper.place_of(VendordataRequest(each)).key, ANSWER)
    requests = itertools.cycle([VendordataRequest(each) for each in asked(count)])

    async def call() -> object:
        answer = await keeper.answer(next(requests), math.inf)
        assert answer.source == "cache"
        return answer

    return call


@asynccontextmanager
async def sqlite(folder: Path, count: int) -> AsyncIterator[PinStore]:
    """A file with so many pins."""
    store = PinStore(async_url(f"sqlite:///{folder}/{count}.db"), timeout=600)
    await prepare(store)
    await fill(store, count)
    yield store
    await store.close()


@asynccontextmanager
async def postgresql(count: int) -> AsyncIterator[PinStore]:
    """A database with so many pins, dropped afterwards."""
    name = f"vendorsrv_bench_{secrets.token_hex(4)}"
    admin = create_async_engine(async_url(f"{POSTGRESQL}/postgres"), isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    store = PinStore(async_url(f"{POSTGRESQL}/{name}"), timeout=600)
    try:
        await upgrade(store)
        await fill(store, count)
        async with store.engine.connect() as connection:
            await connection.execute(text("VACUUM ANALYZE pins"))
        yield store
    finally:
        await store.close()
        async with admin.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name}"))
        await admin.dispose()


async def measure() -> dict[str, dict[str, Cost]]:
    """Measure each store with few and with many instances, side by side."""
    most = EFFORT.get().many
    found = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        kept = {"few": await cached(folder, FEW), "many": await cached(folder, most)}
        found["cache, in process"] = await alternate(kept, 2_000)
        few, many = [await stack.enter_async_context(sqlite(folder, count)) for count in (FEW, most)]
        found["pin, SQLite"] = await alternate({"few": pinned(few, FEW), "many": pinned(many, most)}, 500)
    try:
        async with postgresql(FEW) as few, postgresql(most) as many:
            found["pin, PostgreSQL"] = await alternate({"few": pinned(few, FEW), "many": pinned(many, most)}, 500)
    except (SQLAlchemyError, OSError) as error:
        click.echo(f"PostgreSQL is left out: {type(error).__name__}", err=True)
    return found


def report() -> list[dict[str, object]]:
    """Give a row for each store: what an answer costs with many instances, in terms of what it costs with few."""
    rows: list[dict[str, object]] = []
    for what, costs in asyncio.run(measure()).items():
        few, many = costs["few"], costs["many"]
        ratio = round(many.median / few.median, 2)
        rows.append(
            {
                "what": f"{what}: {EFFORT.get().many:,} instances instead of {FEW:,}",
                "ratio": ratio,
                **at_most(ratio, GOAL),
                "microseconds": f"{few.median} -> {many.median}",
                "spread": f"{few.lowest}-{few.highest} -> {many.lowest}-{many.highest}",
            }
        )
    return rows
