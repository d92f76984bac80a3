"""The table of pins, the clock that its times are by, and how its rows are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Double, Index, LargeBinary, MetaData, String, Table, and_, true
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: The revision of vendorsrv/migrations that this code reads and writes.
SCHEMA: Final = "0001"
VERSION_TABLE: Final = "vendorsrv_version"

Condition = ColumnElement[bool]

METADATA: Final = MetaData()
PINS: Final = Table(
    "pins",
    METADATA,
    Column("instance_id", String(36), primary_key=True),
    Column("handler", String(63), primary_key=True),
    # Null while a worker is making the answer: `owner` is that run, `claimed_at` when it began.
    Column("answer", LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")),
    Column("owner", String(32)),
    Column("claimed_at", Double, nullable=False),
    Column("pinned_at", Double),
    Index("pins_by_age", "pinned_at"),
)


class Now(FunctionElement[float]):
    """Seconds since the epoch by the clock of the store, which all workers and hosts share."""

    type = Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def now_of_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def now_of_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(Now, "mysql")
@compiles(Now, "mariadb")
def now_of_mariadb(*_: Any, **__: Any) -> str:
    # Not unix_timestamp(now(6)): the local time of the server goes back an hour each autumn.
    return "(CAST(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) AS double) / 1000000)"


@dataclass(frozen=True, slots=True)
class Row:
    """What the store holds for one instance and handler.

    :ivar answer: the bytes as they were stored, or None while a run has claimed them.
    :ivar owner: that run.
    :ivar claim_age: seconds since the claim; negative when the clock of the store was set back.
    :ivar pinned_at: seconds since the epoch.
    """

    instance_id: str
    handler: str
    answer: bytes | None
    owner: str | None
    claim_age: float
    pinned_at: float | None


EACH: Final = true()
KEY: Final = (PINS.c.instance_id, PINS.c.handler)
COLUMNS: Final = (
    PINS.c.instance_id,
    PINS.c.handler,
    PINS.c.answer,
    PINS.c.owner,
    (Now() - PINS.c.claimed_at).label("claim_age"),
    PINS.c.pinned_at,
)


def pinned_before(at: float) -> Condition:
    """Select the answers that are older than this, in seconds since the epoch."""
    return PINS.c.pinned_at < at


def claimed_before(at: float) -> Condition:
    """Select the claims that nobody took over since: their workers died, and their instances never asked again."""
    return and_(PINS.c.pinned_at.is_(None), PINS.c.claimed_at < at)


def of(instance_id: str, handler: str) -> Condition:
    return and_(PINS.c.instance_id == instance_id, PINS.c.handler == handler)
