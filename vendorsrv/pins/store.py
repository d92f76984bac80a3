"""The table of pins in SQL: one statement for each thing that is done with a pin."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import and_, bindparam, delete, insert, or_, select, tuple_, update

from vendorsrv.database.drivers import RowQuery
from vendorsrv.database.engine import Database, DatabaseUnavailable
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.sqlite_reader import PinReader
from vendorsrv.pins.table import COLUMNS, KEY, PINS, Condition, Now, Row, has_key

T = TypeVar("T")

#: Built once: to build a statement takes as long as to execute it.
LOOK_UP: Final = select(*COLUMNS).where(and_(*(column == bindparam(column.name) for column in KEY)))
CLAIM: Final = insert(PINS).values(claimed_at=Now())
PIN: Final = (
    update(PINS)
    .where(*(column == bindparam(f"of_{column.name}") for column in (*KEY, PINS.c.owner)), PINS.c.answer.is_(None))
    .values(answer=bindparam("new_answer"), owner=None, pinned_at=Now())
)


class PinStore:
    """The table of pins. Each method is one statement, and raises PinsUnavailable when it cannot be executed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.reader = PinReader(database.file) if database.file else None
        self.look_up = RowQuery(LOOK_UP, database.engine.dialect)

    async def close(self) -> None:
        """Close the database."""
        if self.reader:
            self.reader.close()
        await self.database.close()

    def peek(self, instance_id: str, handler: str) -> bytes | None:
        """Return a stored answer if it can be read without waiting. None means nothing: ask :meth:`get`."""
        return self.reader.get(instance_id, handler) if self.reader else None

    async def get(self, instance_id: str, handler: str) -> Row | None:
        """Return a row, read by primary key; None when there is none."""
        found = await translate_errors(self.database.fetch_row(self.look_up, instance_id, handler))
        return Row(*found) if found else None

    async def claim(self, instance_id: str, handler: str, owner: str, expired: str | None) -> bool:
        """Try to claim an instance for a run of its handler.

        :param owner: the id of the claim.
        :param expired: the id of an expired claim that this one replaces; None when there is no row.
        :returns: whether it is certainly claimed; if not, the row that :meth:`get` returns has the owner.
        """
        if expired is None:
            return await self.write(CLAIM, {"instance_id": instance_id, "handler": handler, "owner": owner})
        is_unchanged = and_(has_key(instance_id, handler), PINS.c.owner == expired, PINS.c.answer.is_(None))
        await self.write(update(PINS).where(is_unchanged).values(owner=owner, claimed_at=Now()))
        return False

    async def pin(self, instance_id: str, handler: str, owner: str, answer: bytes) -> None:
        """Turn a claim into an answer, unless the claim was replaced or forgotten meanwhile."""
        claim = {"of_instance_id": instance_id, "of_handler": handler, "of_owner": owner}
        await self.write(PIN, {**claim, "new_answer": answer})

    async def release(self, instance_id: str, handler: str, owner: str) -> None:
        """Delete a claim, so that the next run need not wait until it expires."""
        claim = (has_key(instance_id, handler), PINS.c.owner == owner, PINS.c.answer.is_(None))
        await self.write(delete(PINS).where(*claim))

    async def add(self, instance_id: str, handler: str, answer: bytes, pinned_at: float) -> None:
        """Store an imported answer, unless the instance has a row."""
        times = {"claimed_at": pinned_at, "pinned_at": pinned_at}
        await self.write(insert(PINS).values(instance_id=instance_id, handler=handler, answer=answer, **times))

    async def replace(self, row: Row, answer: bytes) -> None:
        """Store the same answer in another encryption, unless it has changed meanwhile."""
        same = and_(has_key(row.instance_id, row.handler), PINS.c.answer == row.answer)
        await self.write(update(PINS).where(same).values(answer=answer))

    async def forget(self, keys: Sequence[tuple[str, str]], *conditions: Condition) -> None:
        """Delete the rows of some instances and handlers that still meet the conditions."""
        await self.write(delete(PINS).where(tuple_(*KEY).in_(keys), *conditions))

    async def page(
        self,
        limit: int,
        after: tuple[str, str] = ("", ""),
        instances: Sequence[str] | None = None,
        handler: str | None = None,
    ) -> list[Row]:
        """List pinned answers in the order of their keys, a page at a time.

        :param after: the key of the previous page's last row; with an empty handler, all rows of its instance are
            skipped.
        :param instances: only these; all by default.
        """
        instance_id, last = after
        beyond = PINS.c.instance_id > instance_id
        if last:
            # Not a comparison of pairs: MariaDB reads the whole index for one.
            beyond = and_(PINS.c.instance_id >= instance_id, or_(beyond, PINS.c.handler > last))
        statement = select(*COLUMNS).where(PINS.c.answer.is_not(None), beyond).order_by(*KEY).limit(limit)
        if instances is not None:
            statement = statement.where(PINS.c.instance_id.in_(instances))
        if handler is not None:
            statement = statement.where(PINS.c.handler == handler)
        return [Row(*found) for found in await translate_errors(self.database.fetch_all(statement))]

    async def find(self, condition: Condition, limit: int) -> list[tuple[str, str]]:
        """List keys, of the oldest answers first, by the index over their age.

        :param condition: :func:`vendorsrv.pins.table.pinned_before` or ``claimed_before``.
        """
        statement = select(*KEY).where(condition).order_by(PINS.c.pinned_at).limit(limit)
        return [(row.instance_id, row.handler) for row in await translate_errors(self.database.fetch_all(statement))]

    async def write(self, statement: Any, values: dict[str, Any] | None = None) -> bool:
        return await translate_errors(self.database.write(statement, values))


async def translate_errors(answer: Awaitable[T]) -> T:
    """Return what the database answers; raise PinsUnavailable in place of DatabaseUnavailable, which is its cause."""
    try:
        return await answer
    except DatabaseUnavailable as error:
        raise PinsUnavailable(f"the pin store does not answer ({error.kind})") from error
