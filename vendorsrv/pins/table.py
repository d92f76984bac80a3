"""The table of pins, the database's clock, and conditions on rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Double, Index, LargeBinary, String, Table, and_, or_, text
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from vendorsrv.database.schema import METADATA

Condition = ColumnElement[bool]

PROJECT_ID: Final = re.compile(r"[!-~]{1,255}")

EXPIRES: Final = text("expires_at IS NOT NULL")
PINS: Final = Table(
    "pins",
    METADATA,
    Column("instance_id", String(36), primary_key=True),
    Column("handler", String(63), primary_key=True),
    # Null while a worker runs the handler: `owner` is the id of its claim, `claimed_at` the time of it.
    Column("answer", LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")),
    Column("owner", String(32)),
    Column("claimed_at", Double, nullable=False),
    Column("pinned_at", Double),
    Column("project_id", String(255)),
    # Null: never.
    Column("expires_at", Double),
    Index("pins_by_age", "pinned_at"),
    Index("pins_by_expiry", "expires_at", postgresql_where=EXPIRES, sqlite_where=EXPIRES),
)


class Now(FunctionElement[float]):
    """Seconds since the epoch by the database's clock, which all workers and hosts share."""

    type = Double()
    inherit_cache = True


@compiles(Now)
def now(_: Now, compiler: SQLCompiler, **__: Any) -> str:
    if compiler.dialect.name == "sqlite":
        return "((julianday('now') - 2440587.5) * 86400.0)"
    if compiler.dialect.name == "postgresql":
        return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
    # Not unix_timestamp(now(6)): the server's local time goes back an hour each autumn.
    return "(CAST(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) AS double) / 1000000)"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: an answer, or a claim.

    :ivar answer: the stored bytes; None in a claim.
    :ivar owner: the id of the claim; None beside an answer.
    :ivar claim_age: seconds since the claim; negative after the database's clock was set back.
    :ivar pinned_at: seconds since the epoch.
    :ivar expires_at: seconds since the epoch; None when it never expires.
    :ivar is_expired: whether that has passed, by the database's clock; then it counts as if there were no row.
    :ivar project_id: the instance's project; None in a claim, and where a server of 0.1.0 stored the answer.
    """

    instance_id: str
    handler: str
    answer: bytes | None
    owner: str | None
    claim_age: float
    pinned_at: float | None
    expires_at: float | None = None
    is_expired: bool | None = None
    project_id: str | None = None


KEY: Final = (PINS.c.instance_id, PINS.c.handler)
#: Those of a :class:`Row`, but the last.
COLUMNS: Final = (
    *(*KEY, PINS.c.answer, PINS.c.owner, (Now() - PINS.c.claimed_at).label("claim_age"), PINS.c.pinned_at),
    *(PINS.c.expires_at, (PINS.c.expires_at <= Now()).label("is_expired")),
)
#: The answers that count.
IS_ANSWER: Final = and_(PINS.c.answer.is_not(None), or_(PINS.c.expires_at.is_(None), PINS.c.expires_at > Now()))
HAS_EXPIRED: Final = PINS.c.expires_at <= Now()


def pinned_before(at: float) -> Condition:
    """Select the answers that were pinned before a time, in seconds since the epoch."""
    return PINS.c.pinned_at < at


def claimed_before(at: float) -> Condition:
    """Select the claims made before a time that were not taken over: the worker died, and nobody asked again."""
    return and_(PINS.c.pinned_at.is_(None), PINS.c.claimed_at < at)


def has_key(instance_id: str, handler: str) -> Condition:
    return and_(PINS.c.instance_id == instance_id, PINS.c.handler == handler)


def storable(project_id: str | None) -> str | None:
    """Return a project's id, None for what no Keystone gives and not every database stores."""
    return project_id if project_id and PROJECT_ID.fullmatch(project_id) else None
