"""The table of pins, and the clock that its times are by."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Double, Index, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: The revision of vendorsrv/migrations that this code reads and writes.
SCHEMA: Final = "0001"
VERSION_TABLE: Final = "vendorsrv_version"

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
