"""The time of a request for a stored answer, when a thousand instances have one and when a million have."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from bench.effort import EFFORT
from bench.goals import at_most
from bench.hot_path import request_call, server
from bench.measure import Call, Cost, alternate
from tests.support.databases import NAMES
from tests.support.pin_stores import database_url, make_table, with_store
from tests.support.serving import BODY, INSTANCE
from vendorsrv import VendordataRequest
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import PINS
from vendorsrv.server.app import Application

FEW: Final = 1_000
#: The most that a request may take with many instances, relative to few.
GOAL: Final = 1.5
#: Differs from the handlers' own answer, so that a run of a handler is noticed.
ANSWER: Final = b'{"role":"mail-server","domain":"example.org","hostname":"mx1.example.org","relayhost":null}'
ROWS_AT_ONCE: Final = 5_000


def instances(count: int) -> Iterator[str]:
    """Return this many instance ids, the same ones in each run."""
    numbers = random.Random(count)
    return (str(uuid.UUID(int=numbers.getrandbits(128))) for _ in range(count))


def shuffled_bodies(count: int) -> Iterator[bytes]:
    """Return Nova's bodies for some of these instances, shuffled and without end."""
    chosen = list(itertools.islice(instances(count), 0, count, max(1, count // FEW)))
    random.Random(1).shuffle(chosen)
    return itertools.cycle([body_of(each) for each in chosen])


def body_of(instance: str) -> bytes:
    """Return Nova's body for an instance."""
    return BODY.replace(INSTANCE.encode(), instance.encode())


async def fill_pins(store: PinStore, count: int) -> None:
    """Pin an answer for this many instances."""
    rows = (
        {"instance_id": each, "handler": "pinned", "answer": b"0" + ANSWER, "claimed_at": 1.0, "pinned_at": 1.0}
        for each in instances(count)
    )
    engine = create_async_engine(store.database.url)
    async with engine.begin() as connection:
        while batch := list(itertools.islice(rows, ROWS_AT_ONCE)):
            await connection.execute(insert(PINS), batch)
    await engine.dispose()


async def fill_cache(application: Application, count: int) -> None:
    """Cache an answer for this many instances in the process."""
    responder = application.responders["cached"]
    for each in instances(count):
        request = VendordataRequest.from_json(body_of(each))
        await application.cache.set(responder.key_of(request).entry, ANSWER, responder.enabled.cache_for)


@asynccontextmanager
async def serving(folder: Path, path: str, count: int, url: str | None) -> AsyncIterator[Call]:
    """Open the application with this many stored answers, and yield a call that requests one of them.

    :param url: of a filled pin store; None to fill the cache instead.
    """
    database = {"connection": url or f"sqlite:///{folder}/pins.db"}
    async with server(folder, database=database, vendorsrv={"cache_max_bytes": 2**31}) as (app, token):
        if url is None:
            await fill_cache(app, count)
        request = request_call(app, path, token, shuffled_bodies(count))

        async def call() -> None:
            body = await request()
            assert body == ANSWER, body

        yield call


def pins_url(stack: ExitStack, kind: str, count: int) -> str:
    """Create a store with this many pins, and return its URL.

    :raises pytest.skip.Exception: the database server does not run.
    """
    url = stack.enter_context(database_url(kind, Path(stack.enter_context(TemporaryDirectory()))))
    make_table(url)
    with_store(url, lambda store: fill_pins(store, count), 600)
    return url


async def side_by_side(path: str, calls: int, urls: Mapping[int, str | None]) -> list[Cost]:
    """Measure requests with few and with many instances, in turn.

    :param urls: of the pin stores, by their number of pins.
    """
    async with AsyncExitStack() as stack:
        found: dict[str, Call] = {}
        for count, url in urls.items():
            folder = Path(stack.enter_context(TemporaryDirectory()))
            found[str(count)] = await stack.enter_async_context(serving(folder, path, count, url))
        return [*(await alternate(found, calls)).values()]


def measure() -> dict[str, list[Cost]]:
    """Measure the cache and each pin store whose database runs."""
    counts = FEW, EFFORT.get().many
    found = {"cache, in process": asyncio.run(side_by_side("/cached", 2_000, dict.fromkeys(counts)))}
    for kind in ("sqlite", *NAMES):
        try:
            with ExitStack() as stack:
                urls = {count: pins_url(stack, kind, count) for count in counts}
                found[f"pin, {NAMES.get(kind, 'SQLite')}"] = asyncio.run(side_by_side("/pinned", 500, urls))
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            click.echo(f"{kind} is skipped: {missing}", err=True)
    return found


def report() -> list[dict[str, object]]:
    """Return a row for each store: the time of a request with many instances, relative to few."""
    rows: list[dict[str, object]] = []
    for what, (few, many) in measure().items():
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
