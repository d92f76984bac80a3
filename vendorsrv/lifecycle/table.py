"""The table of deleted instances: what is to be done for each, and that it is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, Double, Index, Integer, String, Table

from vendorsrv.database.schema import METADATA

#: In place of a handler's name: the row of the instance itself. It is the memory of its end, and its work is to forget
#: the instance when no handler has anything left to do.
INSTANCE: Final = ""
#: Characters of an error that are kept.
LONGEST_ERROR: Final = 255

DELETIONS: Final = Table(
    "deletions",
    METADATA,
    Column("instance_id", String(36), primary_key=True),
    Column("handler", String(63), primary_key=True),
    Column("project_id", String(255)),
    Column("added_at", Double, nullable=False),
    # When it is tried next; while `owner` tries it, when its claim expires; null once it has ended.
    Column("due_at", Double),
    Column("tries", Integer, nullable=False),
    Column("owner", String(32)),
    # Of the last try; where it has ended, why it was given up.
    Column("last_error", String(LONGEST_ERROR)),
    Column("ended_at", Double),
    Index("deletions_by_due", "handler", "due_at"),
    Index("deletions_by_end", "handler", "ended_at"),
)
KEY: Final = (DELETIONS.c.instance_id, DELETIONS.c.handler)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be done for a deleted instance.

    :ivar handler: whose ``deleted`` is to be called; :data:`INSTANCE`: the instance is to be forgotten.
    :ivar project_id: the instance's, if whoever said that it is gone knows it.
    :ivar added_at: seconds since the epoch, by the database's clock.
    :ivar age: seconds since then.
    :ivar tries: that were begun.
    """

    instance_id: str
    handler: str
    project_id: str | None
    added_at: float
    age: float
    tries: int

    @property
    def key(self) -> tuple[str, str]:
        """The key of its row."""
        return self.instance_id, self.handler


@dataclass(frozen=True, slots=True)
class Left:
    """What a handler, or vendorsrv itself, has left to do.

    :ivar waiting: for how many instances, those that fail included.
    :ivar failing: for how many the last try failed.
    :ivar given_up: for how many it was given up, of those that are remembered.
    :ivar oldest: seconds for which the oldest waits; None if none does.
    :ivar error: the last one of one of them.
    """

    handler: str
    waiting: int
    failing: int
    given_up: int
    oldest: float | None
    error: str | None
