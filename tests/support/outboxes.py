"""Outboxes of deleted instances for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import select, text

from tests.support.pin_stores import with_database
from vendorsrv.database.engine import Database
from vendorsrv.lifecycle.outbox import Outbox
from vendorsrv.lifecycle.table import DELETIONS, KEY

T = TypeVar("T")

#: Seconds that no test lasts.
LONG: Final = 3600.0


def with_outbox(url: str, work: Callable[[Outbox], Awaitable[T]], handlers: Sequence[str] = ("mail", "vpn")) -> T:
    """Do some work with an outbox on an event loop of its own."""
    return with_database(url, lambda database: work(Outbox(database, handlers)))


async def rows_of(database: Database, *columns: str) -> list[tuple[Any, ...]]:
    """Return these columns of all rows, in the order of their keys."""
    found = await database.fetch_all(select(*(DELETIONS.c[each] for each in columns)).order_by(*KEY))
    return [tuple(each) for each in found]


async def age(database: Database, seconds: float) -> None:
    """Let all that the outbox knows have happened so many seconds earlier."""
    times = ", ".join(f"{each} = {each} - {seconds}" for each in ("added_at", "due_at", "ended_at"))
    async with database.engine.connect() as connection:
        await connection.execute(text(f"UPDATE deletions SET {times}"))  # noqa: S608 - no input
