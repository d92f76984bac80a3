"""First answers in SQL: SQLite on one host, PostgreSQL or MariaDB for more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    delete,
    event,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from vendorsrv.errors import ConfigError, PinsUnavailable

T = TypeVar("T")

#: The revision of vendorsrv/migrations that this code reads and writes.
SCHEMA: Final = "0001"
VERSION_TABLE: Final = "vendorsrv_version"

#: What operators write, and the driver that serves it to asyncio.
DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "asyncmy", "mariadb": "asyncmy"}
EXTRAS: Final = {"aiosqlite": "", "asyncpg": "[postgresql]", "asyncmy": "[mysql]"}

#: Connections of a worker. A statement takes less than a millisecond; PostgreSQL has 100 connections for everybody.
POOL: Final = 5

IN_MEMORY: Final = (None, "", ":memory:")

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
    return "CAST(unix_timestamp(now(6)) AS double)"


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


COLUMNS: Final = (
    PINS.c.instance_id,
    PINS.c.handler,
    PINS.c.answer,
    PINS.c.owner,
    (Now() - PINS.c.claimed_at).label("claim_age"),
    PINS.c.pinned_at,
)


class PinStore:
    """The table of pins. Each method is one statement in a transaction of its own.

    :param url: SQLAlchemy's, as :func:`async_url` gives it.
    :param timeout: seconds that one statement may take, the wait for a connection included.
    :raises ConfigError: the driver is not installed.
    """

    def __init__(self, url: URL, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        self.in_memory = url.get_backend_name() == "sqlite" and url.database in IN_MEMORY
        # No statement ever sees what another transaction's snapshot hides (MySQL's REPEATABLE READ does that).
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
        if url.get_backend_name() != "sqlite":
            options |= {"pool_size": POOL, "max_overflow": 0, "pool_timeout": timeout, "pool_use_lifo": True}
        try:
            self.engine: AsyncEngine = create_async_engine(url, **options)
        except ModuleNotFoundError as error:
            driver = url.get_driver_name()
            raise ConfigError(
                f"[database] connection: {error.name} is not installed: pip install 'vendorsrv{EXTRAS[driver]}'"
            ) from None
        if url.get_backend_name() == "sqlite":
            event.listen(self.engine.sync_engine, "connect", prepare_sqlite)

    async def close(self) -> None:
        """Close the connections."""
        await self.engine.dispose()

    async def get(self, instance_id: str, handler: str) -> Row | None:
        """Read one row: one read by primary key.

        :raises PinsUnavailable: the store is away or too slow; so do all the methods.
        """
        statement = select(*COLUMNS).where(of(instance_id, handler))

        async def read(connection: AsyncConnection) -> Row | None:
            found = (await connection.execute(statement)).first()
            return Row(*found) if found else None

        return await self.run(read)

    async def claim(self, instance_id: str, handler: str, owner: str, instead_of: str | None) -> None:
        """Try to claim a row for a run; :meth:`get` then says whose it is.

        :param instead_of: the owner whose claim is over, or None when there is no row yet.
        """
        if instead_of is None:
            values = {"instance_id": instance_id, "handler": handler, "owner": owner, "claimed_at": Now()}
            await self.write(insert(PINS).values(values))
            return
        still_his = and_(of(instance_id, handler), PINS.c.owner == instead_of, PINS.c.answer.is_(None))
        await self.write(update(PINS).where(still_his).values(owner=owner, claimed_at=Now()))

    async def fulfil(self, instance_id: str, handler: str, owner: str, answer: bytes) -> None:
        """Store the answer of a claim, unless it was taken over or forgotten meanwhile."""
        mine = and_(of(instance_id, handler), PINS.c.owner == owner, PINS.c.answer.is_(None))
        await self.write(update(PINS).where(mine).values(answer=answer, owner=None, pinned_at=Now()))

    async def release(self, instance_id: str, handler: str, owner: str) -> None:
        """Give up a claim, so that the next one need not wait for its end."""
        await self.write(delete(PINS).where(of(instance_id, handler), PINS.c.owner == owner, PINS.c.answer.is_(None)))

    async def add(self, instance_id: str, handler: str, answer: bytes, pinned_at: float) -> None:
        """Store an answer from elsewhere, unless there is one already."""
        values = {"instance_id": instance_id, "handler": handler, "answer": answer, "claimed_at": pinned_at}
        await self.write(insert(PINS).values(values | {"pinned_at": pinned_at}))

    async def replace(self, row: Row, answer: bytes) -> None:
        """Store the same answer in another encryption, unless it was forgotten meanwhile."""
        same = and_(of(row.instance_id, row.handler), PINS.c.answer == row.answer)
        await self.write(update(PINS).where(same).values(answer=answer))

    async def forget(self, keys: Sequence[tuple[str, str]]) -> None:
        """Delete rows, by instance and handler."""
        await self.write(delete(PINS).where(KEY.in_(keys)))

    async def page(
        self,
        limit: int,
        after: tuple[str, str] = ("", ""),
        instances: Sequence[str] | None = None,
        handler: str | None = None,
    ) -> list[Row]:
        """List pinned answers in the order of their keys, a page at a time.

        :param after: the key of the last row of the page before.
        :param instances: only these; all by default.
        """
        statement = select(*COLUMNS).where(PINS.c.answer.is_not(None), KEY > tuple_(*after))
        if instances is not None:
            statement = statement.where(PINS.c.instance_id.in_(instances))
        if handler is not None:
            statement = statement.where(PINS.c.handler == handler)
        statement = statement.order_by(PINS.c.instance_id, PINS.c.handler).limit(limit)

        async def read(connection: AsyncConnection) -> list[Row]:
            return [Row(*found) for found in await connection.execute(statement)]

        return await self.run(read)

    async def oldest(self, limit: int, pinned_before: float) -> list[tuple[str, str]]:
        """List the keys of the oldest answers, by the index over their age."""
        statement = (
            select(PINS.c.instance_id, PINS.c.handler)
            .where(PINS.c.pinned_at < pinned_before)
            .order_by(PINS.c.pinned_at)
            .limit(limit)
        )

        async def read(connection: AsyncConnection) -> list[tuple[str, str]]:
            return [(found[0], found[1]) for found in await connection.execute(statement)]

        return await self.run(read)

    async def write(self, statement: Any) -> None:
        async def execute(connection: AsyncConnection) -> None:
            # Somebody was first: whoever wants to know reads the row, since drivers count rows differently.
            with suppress(IntegrityError):
                await connection.execute(statement)

        await self.run(execute)

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self.timeout):
                try:
                    return await self.once(work)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    return await self.once(work)  # the server closed a kept connection: all of them were thrown away
        except (SQLAlchemyError, OSError) as error:  # asyncpg lets the socket's own errors through
            raise PinsUnavailable(f"the pin store does not answer ({type(error).__name__})") from None

    async def once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.engine.connect() as connection:
            return await work(connection)


KEY: Final = tuple_(PINS.c.instance_id, PINS.c.handler)


def of(instance_id: str, handler: str) -> ColumnElement[bool]:
    return and_(PINS.c.instance_id == instance_id, PINS.c.handler == handler)


def prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what was answered survives a power failure, too
    cursor.execute("PRAGMA busy_timeout = 2000")
    cursor.close()


def async_url(connection: str) -> URL:
    """Read an operator's URL (``mysql+pymysql://…``, ``postgresql://…``) for asyncio's drivers.

    :raises ConfigError: it is no URL, or of a database that is not served.
    """
    try:
        url = make_url(connection)
    except ArgumentError:
        raise ConfigError("[database] connection is no database URL, such as sqlite:////var/lib/x.db") from None
    driver = DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise ConfigError(f"[database] connection: {url.get_backend_name()} is not one of {', '.join(DRIVERS)}")
    return url.set(drivername=f"{url.get_backend_name()}+{driver}")
