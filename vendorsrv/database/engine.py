"""Statements on a worker's database: each within its time, repeated where that is safe."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Executable, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vendorsrv.concurrency import PrioritySemaphore, mark_retrieved
from vendorsrv.database.connections import Connections
from vendorsrv.database.drivers import DriverError, RowQuery, errors_of
from vendorsrv.database.url import STATEMENT_CACHE
from vendorsrv.errors import ConfigError

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: The extra of vendorsrv that installs a driver.
EXTRAS: Final = {"aiosqlite": "", "asyncpg": "[postgresql]", "asyncmy": "[mysql]"}
#: Connections of a worker. A statement takes less than a millisecond; PostgreSQL has 100 connections for everybody.
POOL: Final = 5
#: Attempts at a statement that a lost connection or a deadlock ended. Every statement may be repeated.
ATTEMPTS: Final = 3
#: MariaDB's ER_LOCK_DEADLOCK: two inserts of one key and its deletion can meet so; a Galera cluster gives it to
#: whoever was second on another node.
DEADLOCK: Final = 1213
#: Seconds between two attempts to write to a SQLite file that another process is writing to.
LOCKED_PAUSE: Final = (0.002, 0.01)


class DatabaseUnavailable(Exception):
    """The database does not answer, or not in time.

    :ivar kind: the class of the error, which may be shown to anybody.
    :ivar reason: what the database or its driver said, for the operator.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"the database does not answer ({kind}): {reason}")
        self.kind = kind
        self.reason = reason


class Database:
    """A database as one worker uses it; each statement is a transaction of its own.

    :ivar file: of a SQLite database; None for another one, and for one in memory.
    :param url: SQLAlchemy's, as :func:`vendorsrv.database.url.async_url` returns it.
    :param timeout: seconds that a statement may take once it has a connection, and after which everybody's wait for
        one ends when no statement does.
    :raises ConfigError: the driver is not installed, or refuses the URL.
    """

    def __init__(self, url: URL, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and url.database in (None, "", ":memory:")
        self.file = Path(url.database) if self.is_sqlite and url.database and not self.in_memory else None
        # SQLite has one writer at a time: within a worker they queue, between workers they try again and again.
        self.writers = PrioritySemaphore(1 if self.is_sqlite else POOL)
        self.readers = PrioritySemaphore(POOL - 1) if self.is_sqlite else self.writers
        self.answered_at = 0.0
        self.running: set[asyncio.Task[Any]] = set()
        self.engine = self.create_engine()
        # Sockets' errors come as they are, and before SQLAlchemy 2.1 PostgreSQL's refusals of a connection as well.
        self.errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *errors_of(self.engine.dialect))
        self.connections = Connections(self.engine)

    @property
    def is_missing(self) -> bool:
        """Whether its SQLite file does not exist."""
        # Unlike Path.exists, raises nothing where the folder may not be read.
        return self.file is not None and not os.path.exists(self.file)

    def create_engine(self) -> AsyncEngine:
        # No statement ever sees what another transaction's snapshot hides (MySQL's REPEATABLE READ does that).
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
        if not self.in_memory:
            options |= {"pool_size": POOL, "max_overflow": 0, "pool_timeout": self.timeout, "pool_use_lifo": True}
        url = self.url.difference_update_query([STATEMENT_CACHE])
        if (size := self.url.query.get(STATEMENT_CACHE)) is not None:
            options["connect_args"] = arguments_of(int(str(size)))
        try:
            engine = create_async_engine(url, **options)
        except ModuleNotFoundError as error:
            driver = self.url.get_driver_name()
            raise ConfigError(
                f"[database] connection: {error.name} is not installed: pip install 'vendorsrv{EXTRAS[driver]}'"
            ) from None
        except ArgumentError as error:  # of an option ?plugin=
            raise ConfigError(f"[database] connection: {error}") from None
        if self.is_sqlite:
            event.listen(engine.sync_engine, "connect", prepare_sqlite)
        return engine

    async def close(self) -> None:
        """Close the connections; those to a database that hangs stay open until the process ends."""
        if self.running:
            await asyncio.wait(self.running, timeout=self.timeout)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.timeout):
                await self.connections.close()
                await self.engine.dispose()

    async def fetch_row(self, query: RowQuery, *values: str) -> Any:
        """Return a row, or None when there is none.

        :raises DatabaseUnavailable: the database does not answer in time; so do all the methods.
        """
        try:
            return await self.run(lambda connection: query.read(connection, values))
        except DriverError:
            return await self.run(lambda connection: query.execute(connection, values))

    async def fetch_all(self, statement: Executable) -> Sequence[Any]:
        """Return the rows of a statement that selects few of them."""
        return (await self.run(lambda connection: connection.execute(statement))).all()

    async def write(self, statement: Executable, values: dict[str, Any] | None = None) -> bool:
        """Execute a statement that changes rows.

        :returns: False when it was an insertion and its key exists. How many rows changed is not known: drivers
            count them differently.
        """

        async def execute(connection: AsyncConnection) -> bool:
            with suppress(IntegrityError):
                await connection.execute(statement, values)
                return True
            return False

        return await self.run(execute, self.writers)

    async def run(
        self, work: Callable[[AsyncConnection], Awaitable[T]], semaphore: PrioritySemaphore | None = None
    ) -> T:
        """Run a statement, by default one that reads."""
        semaphore = semaphore or self.readers
        began = 0.0
        try:
            await semaphore.acquire()
            began = time.monotonic()
            statement = self.run_until(began + self.timeout, work, semaphore)
            async with asyncio.timeout(self.timeout):
                found = await (self.shielded(statement) if self.is_sqlite else statement)
        except self.errors as error:
            if isinstance(error, TimeoutError) and began > self.answered_at:
                semaphore.fail_all()
            reason = reason_of(error)
            LOG.warning("the database does not answer: %s", reason)
            raise DatabaseUnavailable(type(error).__name__, reason) from error
        self.answered_at = time.monotonic()
        return found

    async def shielded(self, statement: Coroutine[Any, Any, T]) -> T:
        """Let a statement end by itself.

        When it is cancelled while its connection is being closed, aiosqlite waits for ever, and the process with it.
        """
        task = asyncio.create_task(statement)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        task.add_done_callback(mark_retrieved)  # nobody may be waiting any more
        return await asyncio.shield(task)

    async def run_until(
        self, deadline: float, work: Callable[[AsyncConnection], Awaitable[T]], semaphore: PrioritySemaphore
    ) -> T:
        attempts = ATTEMPTS
        try:
            while time.monotonic() <= deadline:
                try:
                    return await self.attempt(work)
                except DBAPIError as error:
                    if is_locked(error):
                        await asyncio.sleep(random.uniform(*LOCKED_PAUSE))  # noqa: S311 - workers apart, no secret
                        continue
                    attempts -= 1
                    if not (attempts and is_transient(error)):
                        raise
            raise TimeoutError  # its caller has given up
        finally:
            semaphore.release()

    async def attempt(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.connections.one() as connection:
            return await work(connection)


def arguments_of(statement_cache_size: int) -> dict[str, Any]:
    """Return how asyncpg, and SQLAlchemy's dialect for it, have to connect for this size of their caches.

    Without a cache statements have no names: PostgreSQL keeps such a one only for what follows at once, which PgBouncer
    sends to the same session.
    """
    arguments: dict[str, Any] = {STATEMENT_CACHE: statement_cache_size}
    arguments |= {"prepared_statement_cache_size": statement_cache_size}
    return arguments if statement_cache_size else arguments | {"prepared_statement_name_func": lambda: ""}


def is_locked(error: DBAPIError) -> bool:
    """Whether another process was writing to the SQLite file."""
    return getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def is_transient(error: DBAPIError) -> bool:
    """Whether the same statement can succeed at once: the server closed the connection, or ended a deadlock."""
    return error.connection_invalidated or (error.orig is not None and error.orig.args[:1] == (DEADLOCK,))


def reason_of(error: BaseException) -> str:
    """Return what the database or its driver said, in one line."""
    reason = str(getattr(error, "orig", None) or error) or type(error).__name__
    return "no answer in time" if isinstance(error, TimeoutError) else reason.splitlines()[0]


def prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what was answered survives a power failure
    # After that we try again ourselves: SQLite would sleep ever longer, and let others pass.
    cursor.execute("PRAGMA busy_timeout = 20")
    cursor.close()
