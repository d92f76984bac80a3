"""The table of pins in SQL: one statement for each thing that is done with a pin."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Double, and_, bindparam, delete, func, insert, or_, select, tuple_, update

from vendorsrv.database.drivers import RowQuery
from vendorsrv.database.engine import Database, DatabaseUnavailable
from vendorsrv.declarations import CLOUD_INIT_SUFFIX, PREPARE_SUFFIX
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.sqlite_reader import PinReader
from vendorsrv.pins.table import COLUMNS, IS_ANSWER, KEY, PINS, Condition, Now, Row, has_key

T = TypeVar("T")

#: Built once: to build a statement takes as long as to execute it.
LOOK_UP: Final = select(*COLUMNS).where(and_(*(column == bindparam(column.name) for column in KEY)))
CLAIM: Final = insert(PINS).values(claimed_at=Now())
PIN: Final = (
    update(PINS)
    .where(*(column == bindparam(f"of_{column.name}") for column in (*KEY, PINS.c.owner)), PINS.c.answer.is_(None))
    .values(
        answer=bindparam("new_answer"),
        owner=None,
        pinned_at=Now(),
        expires_at=func.coalesce(bindparam("until", type_=Double), Now() + bindparam("seconds", type_=Double)),
    )
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

    async def claim(
        self, instance_id: str, handler: str, owner: str, expired: str | None, *, project_id: str | None = None
    ) -> bool:
        """Try to claim an instance for a run of its handler.

        :param owner: the id of the claim.
        :param expired: the id of an expired claim that this one replaces; None when there is no row.
        :param project_id: the instance's.
        :returns: whether it is certainly claimed; if not, the row that :meth:`get` returns has the owner.
        """
        if expired is None:
            key = {"instance_id": instance_id, "handler": handler}
            return await self.write(CLAIM, {**key, "owner": owner, "project_id": project_id})
        is_unchanged = and_(has_key(instance_id, handler), PINS.c.owner == expired, PINS.c.answer.is_(None))
        await self.write(update(PINS).where(is_unchanged).values(owner=owner, claimed_at=Now()))
        return False

    async def pin(
        self,
        instance_id: str,
        handler: str,
        owner: str,
        answer: bytes,
        *,
        expires_at: float | None = None,
        pin_for: float | None = None,
    ) -> None:
        """Turn a claim into an answer, unless the claim was replaced or forgotten meanwhile.

        :param expires_at: seconds since the epoch by the database's clock; None: ``pin_for`` seconds from now.
        :param pin_for: None: never.
        """
        claim = {"of_instance_id": instance_id, "of_handler": handler, "of_owner": owner}
        await self.write(PIN, {**claim, "new_answer": answer, "until": expires_at, "seconds": pin_for})

    async def release(self, instance_id: str, handler: str, owner: str) -> None:
        """Delete a claim, so that the next run need not wait until it expires."""
        claim = (has_key(instance_id, handler), PINS.c.owner == owner, PINS.c.answer.is_(None))
        await self.write(delete(PINS).where(*claim))

    async def add(
        self,
        instance_id: str,
        handler: str,
        answer: bytes,
        pinned_at: float,
        *,
        expires_at: float | None = None,
        project_id: str | None = None,
    ) -> None:
        """Store an imported answer, unless the instance has a row."""
        key = {"instance_id": instance_id, "handler": handler}
        times = {"claimed_at": pinned_at, "pinned_at": pinned_at, "expires_at": expires_at}
        await self.write(insert(PINS).values(**key, answer=answer, project_id=project_id, **times))

    async def replace(self, row: Row, answer: bytes) -> None:
        """Store the same answer in another encryption, unless it has changed meanwhile."""
        same = and_(has_key(row.instance_id, row.handler), PINS.c.answer == row.answer)
        await self.write(update(PINS).where(same).values(answer=answer))

    async def forget(self, keys: Sequence[tuple[str, str]], *conditions: Condition) -> None:
        """Delete the rows of some instances and handlers that still meet the conditions."""
        await self.write(delete(PINS).where(tuple_(*KEY).in_(keys), *conditions))

    async def forget_instance(self, instance_id: str) -> None:
        """Delete all rows of an instance, claims included: a run that goes on will pin nothing."""
        await self.write(delete(PINS).where(PINS.c.instance_id == instance_id))

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
        :param handler: only its answers, for each target, and its preparation.
        """
        instance_id, last = after
        beyond = PINS.c.instance_id > instance_id
        if last:
            # Not a comparison of pairs: MariaDB reads the whole index for one.
            beyond = and_(PINS.c.instance_id >= instance_id, or_(beyond, PINS.c.handler > last))
        statement = select(*COLUMNS, PINS.c.project_id).where(IS_ANSWER, beyond).order_by(*KEY).limit(limit)
        if instances is not None:
            statement = statement.where(PINS.c.instance_id.in_(instances))
        if handler is not None:
            statement = statement.where(PINS.c.handler.in_(keys_of(handler)))
        return [Row(*found) for found in await translate_errors(self.database.fetch_all(statement))]

    async def find(
        self, condition: Condition, limit: int, by: Column[float | None] = PINS.c.pinned_at
    ) -> list[tuple[str, str]]:
        """List keys by an index over a time, those of the oldest answers first.

        :param condition: :func:`vendorsrv.pins.table.pinned_before`, ``claimed_before`` or ``HAS_EXPIRED``.
        :param by: the time.
        """
        statement = select(*KEY).where(condition).order_by(by).limit(limit)
        return [(row.instance_id, row.handler) for row in await translate_errors(self.database.fetch_all(statement))]

    async def write(self, statement: Any, values: dict[str, Any] | None = None) -> bool:
        return await translate_errors(self.database.write(statement, values))


def keys_of(handler: str) -> tuple[str, ...]:
    """Return under which names a handler's answers and its preparation are pinned."""
    return handler, f"{handler}{CLOUD_INIT_SUFFIX}", f"{handler}{PREPARE_SUFFIX}"


async def translate_errors(answer: Awaitable[T]) -> T:
    """Return what the database answers; raise PinsUnavailable in place of DatabaseUnavailable, which is its cause."""
    try:
        return await answer
    except DatabaseUnavailable as error:
        raise PinsUnavailable(f"the pin store does not answer ({error.kind})") from error
