"""What the tests of pins share: a store of the test's own on each database that is served."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import and_, text, update

from tests.support.databases import database
from vendorsrv.database.schema import upgrade
from vendorsrv.database.url import async_url
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import PINS

T = TypeVar("T")

KINDS: Final = ("sqlite", "postgresql", "mariadb")


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """Give what an operator writes into ``[database] connection`` for an empty database; it is dropped at the end."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/pins.db"
        return
    with database(kind) as created:
        yield created.url


def with_store(url: str, work: Callable[[PinStore], Awaitable[T]], timeout: float = 10.0) -> T:
    """Do something with a store on an event loop of its own."""

    async def run() -> T:
        store = PinStore(async_url(url), timeout)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def make_table(url: str) -> None:
    """Create the table of pins."""
    with_store(url, upgrade)


async def execute(store: PinStore, statement: str) -> list[tuple[object, ...]]:
    """Execute a statement behind the store's back, and give its rows."""
    async with store.engine.connect() as connection:
        result = await connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


async def age(store: PinStore, instance_id: str, handler: str, **times: float) -> None:
    """Change the times of a row (``claimed_at``, ``pinned_at``), in seconds since the epoch."""
    async with store.engine.connect() as connection:
        row = and_(PINS.c.instance_id == instance_id, PINS.c.handler == handler)
        await connection.execute(update(PINS).where(row).values(**times))


def new_instance() -> str:
    """Give the UUID of an instance that nobody has asked for."""
    return str(uuid.uuid4())
