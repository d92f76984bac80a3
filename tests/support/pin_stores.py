"""Stores of pins for tests, on each kind of database."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import and_, text, update

from tests.support.databases import database
from vendorsrv.answer import HandlerAnswer
from vendorsrv.database.engine import Database
from vendorsrv.database.schema import upgrade
from vendorsrv.database.url import async_url
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import PINS

T = TypeVar("T")

KINDS: Final = ("sqlite", "postgresql", "mariadb")


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """Yield the ``[database] connection`` of an empty database, which is dropped at the end."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/pins.db"
        return
    with database(kind) as created:
        yield created.url


def with_store(url: str, work: Callable[[PinStore], Awaitable[T]], timeout: float = 10.0) -> T:
    """Do some work with a store on an event loop of its own."""

    async def run() -> T:
        store = PinStore(Database(async_url(url), timeout))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def with_database(url: str, work: Callable[[Database], Awaitable[T]], timeout: float = 10.0) -> T:
    """Do some work with a database on an event loop of its own."""
    return with_store(url, lambda store: work(store.database), timeout)


def make_table(url: str) -> None:
    """Create the table of pins."""
    with_database(url, upgrade)


async def execute(database: Database, statement: str) -> list[tuple[object, ...]]:
    """Execute a statement on a connection of its own, and return its rows."""
    async with database.engine.connect() as connection:
        result = await connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


async def age(store: PinStore, instance_id: str, handler: str, **times: float) -> None:
    """Change the times of a row (``claimed_at``, ``pinned_at``), in seconds since the epoch."""
    async with store.database.engine.connect() as connection:
        row = and_(PINS.c.instance_id == instance_id, PINS.c.handler == handler)
        await connection.execute(update(PINS).where(row).values(**times))


async def body_of(
    pins: Pins, key: tuple[str, str], create: Callable[[], Awaitable[bytes]], seconds: float = 10.0
) -> bytes:
    """Return the pinned answer of an instance and a handler, or create and pin it within so many seconds."""

    async def make() -> HandlerAnswer:
        return HandlerAnswer(await create())

    return (await pins.get_or_create(*key, make, time.monotonic() + seconds)).body


def new_instance() -> str:
    """Return the UUID of an instance that has no pin."""
    return str(uuid.uuid4())
