"""What is still to be done for deleted instances: added once, claimed by one process at a time, tried until it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import and_, case, delete, func, insert, or_, select, update

from vendorsrv.database.engine import Database
from vendorsrv.lifecycle.table import DELETIONS, INSTANCE, KEY, LONGEST_ERROR, Entry, Left
from vendorsrv.pins.store import translate_errors
from vendorsrv.pins.table import Condition, Now, storable

#: Seconds after which the row of an instance is looked at although nobody said that its handlers are done: the process
#: that should have was killed.
IDLE: Final = 600.0
#: Rows that one statement deletes.
BATCH: Final = 500
IS_OPEN: Final = DELETIONS.c.ended_at.is_(None)


class Outbox:
    """The outbox in the pins' database. Each method raises PinsUnavailable when the database does not answer.

    :param handlers: the names of those whose ``deleted`` is to be called for each deleted instance.
    """

    def __init__(self, database: Database, handlers: Sequence[str]) -> None:
        self.database = database
        self.handlers = handlers

    async def add(self, instance_id: str, project_id: str | None = None) -> bool:
        """Note that an instance is gone, all or nothing: once this returns, the rest happens whatever dies.

        :param project_id: the instance's, if it is known.
        :returns: False when that was noted before, and the instance is still remembered.
        """
        first = Now() + IDLE if self.handlers else Now()
        common = {"instance_id": instance_id, "project_id": storable(project_id), "added_at": Now(), "tries": 0}
        rows = [{**common, "handler": INSTANCE, "due_at": first}]
        rows += [{**common, "handler": name, "due_at": Now()} for name in self.handlers]
        return await self.write(insert(DELETIONS).values(rows))

    async def due(self, handler: str, limit: int) -> list[Entry]:
        """List what is to be tried now, what has waited longest first."""
        columns = (*KEY, DELETIONS.c.project_id, DELETIONS.c.added_at, Now() - DELETIONS.c.added_at, DELETIONS.c.tries)
        is_due = and_(DELETIONS.c.handler == handler, DELETIONS.c.due_at <= Now())
        statement = select(*columns).where(is_due).order_by(DELETIONS.c.due_at).limit(limit)
        return [Entry(*found) for found in await translate_errors(self.database.fetch_all(statement))]

    async def claim(self, entry: Entry, owner: str, lease: float) -> bool:
        """Begin a try that is due.

        :param owner: a new id.
        :param lease: seconds after which another process tries, because this one died.
        :returns: whether it is ours.
        """
        is_due = and_(has_key(*entry.key), DELETIONS.c.due_at <= Now())
        tried = {"owner": owner, "due_at": Now() + lease, "tries": DELETIONS.c.tries + 1}
        await self.write(update(DELETIONS).where(is_due).values(tried))
        # Never by the number of changed rows: drivers count them differently, and the statement may have been repeated.
        mine = select(DELETIONS.c.tries).where(has_key(*entry.key), DELETIONS.c.owner == owner)
        return bool(await translate_errors(self.database.fetch_all(mine)))

    async def postpone(self, entry: Entry, owner: str, seconds: float, error: str | None = None) -> None:
        """Let the next try begin in so many seconds, unless the claim is lost.

        :param error: why the last one failed.
        """
        values = {"owner": None, "due_at": Now() + seconds, "last_error": shortened(error)}
        await self.write(update(DELETIONS).where(is_claimed(entry, owner)).values(values))

    async def end(self, entry: Entry, owner: str, error: str | None = None) -> None:
        """End it, unless the claim is lost; after a handler's the row of its instance is due.

        :param error: why it is given up; None: it is done.
        """
        values = {"owner": None, "due_at": None, "ended_at": Now(), "last_error": shortened(error)}
        await self.write(update(DELETIONS).where(is_claimed(entry, owner)).values(values))
        if entry.handler != INSTANCE:
            await self.wake(entry.instance_id)

    async def wake(self, instance_id: str) -> None:
        """Make the row of an instance due, whoever is looking at it now."""
        row = and_(has_key(instance_id, INSTANCE), IS_OPEN)
        await self.write(update(DELETIONS).where(row).values(due_at=Now(), owner=None))

    async def is_busy(self, instance_id: str) -> bool:
        """Whether a handler has something left to do for an instance."""
        left = and_(DELETIONS.c.instance_id == instance_id, DELETIONS.c.handler != INSTANCE, IS_OPEN)
        return bool(await translate_errors(self.database.fetch_all(select(*KEY).where(left).limit(1))))

    async def abandoned(self, older_than: float) -> list[Entry]:
        """List a batch of what no handler of ours will do, older than so many seconds: their handlers are gone."""
        columns = (*KEY, DELETIONS.c.project_id, DELETIONS.c.added_at, Now() - DELETIONS.c.added_at, DELETIONS.c.tries)
        others = DELETIONS.c.handler.not_in([*self.handlers, INSTANCE])
        old = and_(others, DELETIONS.c.due_at <= Now(), DELETIONS.c.added_at < Now() - older_than)
        found = await translate_errors(self.database.fetch_all(select(*columns).where(old).limit(BATCH)))
        return [Entry(*each) for each in found]

    async def remembered(self, limit: int, after: str) -> list[tuple[str, str | None, float, float | None]]:
        """List instances that are known to be gone, in the order of their ids, a page at a time.

        :param after: the last one of the page before; empty for the first page.
        :returns: of each the id, the project, when it was added and when all was done, in seconds since the epoch.
        """
        columns = (DELETIONS.c.instance_id, DELETIONS.c.project_id, DELETIONS.c.added_at, DELETIONS.c.ended_at)
        page = and_(DELETIONS.c.handler == INSTANCE, DELETIONS.c.instance_id > after)
        statement = select(*columns).where(page).order_by(DELETIONS.c.instance_id).limit(limit)
        return [tuple(each) for each in await translate_errors(self.database.fetch_all(statement))]

    async def left(self) -> list[Left]:
        """Count what is left to do, and what was given up, by handler."""
        is_given_up = and_(DELETIONS.c.ended_at.is_not(None), DELETIONS.c.last_error.is_not(None))
        statement = (
            select(
                DELETIONS.c.handler,
                func.sum(case((IS_OPEN, 1), else_=0)),
                func.sum(case((and_(IS_OPEN, DELETIONS.c.last_error.is_not(None)), 1), else_=0)),
                func.sum(case((is_given_up, 1), else_=0)),
                func.max(case((IS_OPEN, Now() - DELETIONS.c.added_at))),
                func.max(DELETIONS.c.last_error),
            )
            .where(or_(IS_OPEN, is_given_up))
            .group_by(DELETIONS.c.handler)
            .order_by(DELETIONS.c.handler)
        )
        found = await translate_errors(self.database.fetch_all(statement))
        return [
            Left(name, int(waiting), int(failing), int(given_up), oldest, error)
            for name, waiting, failing, given_up, oldest, error in found
        ]

    async def purge(self, remember_for: float) -> int:
        """Delete the rows of a batch of instances that have ended so many seconds ago.

        :returns: how many instances.
        """
        old = and_(DELETIONS.c.handler == INSTANCE, DELETIONS.c.ended_at < Now() - remember_for)
        statement = select(DELETIONS.c.instance_id).where(old).limit(BATCH)
        gone = [each.instance_id for each in await translate_errors(self.database.fetch_all(statement))]
        if gone:
            await self.write(delete(DELETIONS).where(DELETIONS.c.instance_id.in_(gone)))
        return len(gone)

    async def write(self, statement: Any) -> bool:
        return await translate_errors(self.database.write(statement))


def has_key(instance_id: str, handler: str) -> Condition:
    return and_(DELETIONS.c.instance_id == instance_id, DELETIONS.c.handler == handler)


def is_claimed(entry: Entry, owner: str) -> Condition:
    return and_(has_key(*entry.key), DELETIONS.c.owner == owner)


def shortened(error: str | None) -> str | None:
    return error[:LONGEST_ERROR] if error else None
