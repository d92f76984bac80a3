"""First answers in SQL: SQLite on one host, PostgreSQL or MariaDB for more."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import and_, bindparam, delete, event, insert, or_, select, tuple_, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vendorsrv.concurrency import PrioritySemaphore
from vendorsrv.database.connections import Connections, Refused, look_up
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pins.sqlite_reader import PinReader
from vendorsrv.pins.table import COLUMNS, EACH, KEY, PINS, Condition, Now, Row, of

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: What brings a driver that is not installed.
EXTRAS: Final = {"aiosqlite": "", "asyncpg": "[postgresql]", "asyncmy": "[mysql]"}

#: Connections of a worker. A statement takes less than a millisecond; PostgreSQL has 100 connections for everybody.
POOL: Final = 5

#: Times that a statement is tried which a lost connection or a deadlock ended. All of them may be repeated.
TRIES: Final = 3
#: MariaDB's ER_LOCK_DEADLOCK: two inserts of one key and its deletion can meet so; a Galera cluster gives it to
#: whoever was second on another node.
DEADLOCK: Final = 1213

#: Seconds between two tries to write to a SQLite file that another process is writing to.
LOCKED_PAUSE: Final = (0.002, 0.01)

#: Built once, since building a statement takes as long as executing it.
CLAIM: Final = insert(PINS).values(claimed_at=Now())
FULFIL: Final = (
    update(PINS)
    .where(*(column == bindparam(f"of_{column.name}") for column in (*KEY, PINS.c.owner)), PINS.c.answer.is_(None))
    .values(answer=bindparam("made"), owner=None, pinned_at=Now())
)

IN_MEMORY: Final = (None, "", ":memory:")


class PinStore:
    """The table of pins. Each method is one statement in a transaction of its own.

    :param url: SQLAlchemy's, as :func:`vendorsrv.database.url.async_url` gives it.
    :param timeout: seconds that one statement may take once it has a connection, and for which everybody waits for
        one when no statement ends.
    :raises ConfigError: the driver is not installed, or refuses the URL.
    """

    def __init__(self, url: URL, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        self.is_sqlite = url.get_backend_name() == "sqlite"
        # SQLite has one writer at a time: here they wait in a queue, there they try again and again.
        self.writers = PrioritySemaphore(1) if self.is_sqlite else PrioritySemaphore(POOL)
        self.readers = PrioritySemaphore(POOL - 1) if self.is_sqlite else self.writers
        self.answered_at = 0.0
        self.running: set[asyncio.Task[Any]] = set()
        self.in_memory = self.is_sqlite and url.database in IN_MEMORY
        self.reader = PinReader(Path(str(url.database))) if self.is_sqlite and not self.in_memory else None
        # No statement ever sees what another transaction's snapshot hides (MySQL's REPEATABLE READ does that).
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
        if not self.in_memory:
            options |= {"pool_size": POOL, "max_overflow": 0, "pool_timeout": timeout, "pool_use_lifo": True}
        try:
            self.engine: AsyncEngine = create_async_engine(url, **options)
        except ModuleNotFoundError as error:
            driver = url.get_driver_name()
            raise ConfigError(
                f"[database] connection: {error.name} is not installed: pip install 'vendorsrv{EXTRAS[driver]}'"
            ) from None
        except ArgumentError as error:  # of an option ?plugin=
            raise ConfigError(f"[database] connection: {error}") from None
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", prepare_sqlite)
        self.connections = Connections(self.engine)

    async def close(self) -> None:
        """Close the connections; those of a store that hangs are left to the end of the process."""
        if self.reader:
            self.reader.close()
        if self.running:
            await asyncio.wait(self.running, timeout=self.timeout)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.timeout):
                await self.connections.close()
                await self.engine.dispose()

    def peek(self, instance_id: str, handler: str) -> bytes | None:
        """Give what is stored of an answer if that costs no waiting; None when there is none, or :meth:`get` knows."""
        return self.reader.get(instance_id, handler) if self.reader else None

    async def get(self, instance_id: str, handler: str) -> Row | None:
        """Read one row: one read by primary key.

        :raises PinsUnavailable: the store is away or too slow; so do all the methods.
        """
        try:
            return await self.run(lambda connection: self.connections.look_up(connection, instance_id, handler))
        except Refused:
            return await self.run(lambda connection: look_up(connection, instance_id, handler))

    async def claim(self, instance_id: str, handler: str, owner: str, instead_of: str | None) -> bool:
        """Try to claim a row for a run.

        :param instead_of: the owner whose claim is over, or None when there is no row yet.
        :returns: whether it is claimed for sure; if not, :meth:`get` says whose it is.
        """
        if instead_of is None:
            return await self.write(CLAIM, {"instance_id": instance_id, "handler": handler, "owner": owner})
        still_his = and_(of(instance_id, handler), PINS.c.owner == instead_of, PINS.c.answer.is_(None))
        await self.write(update(PINS).where(still_his).values(owner=owner, claimed_at=Now()))
        return False

    async def fulfil(self, instance_id: str, handler: str, owner: str, answer: bytes) -> None:
        """Store the answer of a claim, unless it was taken over or forgotten meanwhile."""
        mine = {"of_instance_id": instance_id, "of_handler": handler, "of_owner": owner}
        await self.write(FULFIL, {**mine, "made": answer})

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

    async def forget(self, keys: Sequence[tuple[str, str]], condition: Condition = EACH) -> None:
        """Delete rows, by instance and handler.

        :param condition: which has to hold for a row still.
        """
        await self.write(delete(PINS).where(tuple_(*KEY).in_(keys), condition))

    async def page(
        self,
        limit: int,
        after: tuple[str, str] = ("", ""),
        instances: Sequence[str] | None = None,
        handler: str | None = None,
    ) -> list[Row]:
        """List pinned answers in the order of their keys, a page at a time.

        :param after: the key of the last row of the page before; without a handler, the rest of its instance is
            left out.
        :param instances: only these; all by default.
        """
        instance_id, last = after
        beyond = PINS.c.instance_id > instance_id
        if last:
            # Not a comparison of pairs: MariaDB reads the whole index for one.
            beyond = and_(PINS.c.instance_id >= instance_id, or_(beyond, PINS.c.handler > last))
        statement = select(*COLUMNS).where(PINS.c.answer.is_not(None), beyond)
        if instances is not None:
            statement = statement.where(PINS.c.instance_id.in_(instances))
        if handler is not None:
            statement = statement.where(PINS.c.handler == handler)
        statement = statement.order_by(PINS.c.instance_id, PINS.c.handler).limit(limit)

        async def read(connection: AsyncConnection) -> list[Row]:
            return [Row(*found) for found in await connection.execute(statement)]

        return await self.run(read)

    async def find(self, condition: Condition, limit: int) -> list[tuple[str, str]]:
        """List keys, of the oldest answers first, by the index over their age.

        :param condition: :func:`vendorsrv.pins.table.pinned_before` or ``claimed_before``.
        """
        statement = select(*KEY).where(condition).order_by(PINS.c.pinned_at).limit(limit)

        async def read(connection: AsyncConnection) -> list[tuple[str, str]]:
            return [(found[0], found[1]) for found in await connection.execute(statement)]

        return await self.run(read)

    async def write(self, statement: Any, values: dict[str, Any] | None = None) -> bool:
        async def execute(connection: AsyncConnection) -> bool:
            # Somebody was first: whoever wants to know reads the row, since drivers count rows differently.
            with suppress(IntegrityError):
                await connection.execute(statement, values)
                return True
            return False

        return await self.run(execute, self.writers)

    async def run(
        self, work: Callable[[AsyncConnection], Awaitable[T]], semaphore: PrioritySemaphore | None = None
    ) -> T:
        semaphore = semaphore or self.readers
        begun = 0.0
        try:
            await semaphore.acquire()
            begun = time.monotonic()
            statement = self.in_turn(work, semaphore, begun + self.timeout)
            async with asyncio.timeout(self.timeout):
                found = await (self.shielded(statement) if self.is_sqlite else statement)
        except self.connections.errors as error:
            if isinstance(error, TimeoutError) and begun > self.answered_at:
                semaphore.fail_all()
            LOG.warning("the pin store does not answer: %s", reason_of(error))
            raise PinsUnavailable(f"the pin store does not answer ({type(error).__name__})") from error
        self.answered_at = time.monotonic()
        return found

    async def in_turn(
        self, work: Callable[[AsyncConnection], Awaitable[T]], semaphore: PrioritySemaphore, deadline: float
    ) -> T:
        try:
            return await self.repeat(work, deadline)
        finally:
            semaphore.release()

    async def shielded(self, statement: Coroutine[Any, Any, T]) -> T:
        """Let a statement end by itself.

        When it is cancelled and its connection's end as well, aiosqlite waits for ever, and the process with it.
        """
        task = asyncio.create_task(statement)
        self.running.add(task)
        task.add_done_callback(self.finish)
        return await asyncio.shield(task)

    def finish(self, task: asyncio.Task[Any]) -> None:
        self.running.discard(task)
        with suppress(asyncio.CancelledError):
            task.exception()  # retrieved here: nobody may be waiting any more, and asyncio would complain

    async def repeat(self, work: Callable[[AsyncConnection], Awaitable[T]], deadline: float) -> T:
        tries = TRIES
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError  # nobody waits for it any more
            try:
                return await self.once(work)
            except DBAPIError as error:
                if is_locked(error):
                    await asyncio.sleep(random.uniform(*LOCKED_PAUSE))  # noqa: S311 - workers apart, no secret
                    continue
                tries -= 1
                if not (tries and is_passing(error)):
                    raise

    async def once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.connections.one() as connection:
            return await work(connection)


def is_locked(error: DBAPIError) -> bool:
    """Say whether another process was writing to the SQLite file."""
    return getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def is_passing(error: DBAPIError) -> bool:
    """Say whether the same statement can succeed at once: the server closed a kept connection, or chose a victim."""
    return error.connection_invalidated or (error.orig is not None and error.orig.args[:1] == (DEADLOCK,))


def reason_of(error: BaseException) -> str:
    """Give what the database or its driver said, in one line."""
    reason = str(getattr(error, "orig", None) or error) or type(error).__name__
    return "no answer in time" if isinstance(error, TimeoutError) else reason.splitlines()[0]


def prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what was answered survives a power failure, too
    # Beyond that we try again ourselves: SQLite would sleep ever longer, and let others pass.
    cursor.execute("PRAGMA busy_timeout = 20")
    cursor.close()
