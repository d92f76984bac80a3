"""A worker's connections to the database of pins: kept open, and read from at the price of their drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import and_, bindparam, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vendorsrv.pins.table import COLUMNS, KEY, Row

LOOK_UP: Final = select(*COLUMNS).where(and_(*(column == bindparam(column.name) for column in KEY)))


class Refused(Exception):
    """The driver could not read; what that means is SQLAlchemy's to say, on another connection."""


class Connections:
    """Connections that are open for good, of an engine whose pool says how many there may be.

    Taking one from the pool and giving it back costs as much as three statements.

    :ivar errors: all that connecting and statements may raise. The socket's own errors come as they are, and before
        SQLAlchemy 2.1 also those with which PostgreSQL refuses a connection.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.idle: list[AsyncConnection] = []
        dialect: Any = engine.dialect
        self.text = str(LOOK_UP.compile(dialect=dialect))
        self.read, self.refusals = DRIVERS[dialect.driver](dialect.loaded_dbapi)
        self.errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *self.refusals)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that nobody else uses; it is opened when there is none."""
        connection = self.idle.pop() if self.idle else await self.engine.connect()
        try:
            yield connection
        except (DBAPIError, Refused) as error:
            if isinstance(error, DBAPIError) and not error.connection_invalidated:
                self.idle.append(connection)
            else:  # the others may have been lost with it
                lost, self.idle = self.idle, []
                await drop(connection, *lost)
            raise
        except BaseException:  # cancelled, in the middle of what nobody will read
            await asyncio.shield(asyncio.create_task(drop(connection)))
            raise
        else:
            self.idle.append(connection)

    async def look_up(self, connection: AsyncConnection, instance_id: str, handler: str) -> Row | None:
        """Read one row as :func:`look_up` does, at a tenth of what that takes.

        :raises Refused: that one is to be asked.
        """
        assert connection.sync_connection
        driver = connection.sync_connection.connection.driver_connection
        try:
            found = await self.read(driver, self.text, (instance_id, handler))
        except self.refusals as error:
            raise Refused from error
        return Row(*found) if found else None

    async def close(self) -> None:
        """Close those that nobody uses."""
        connections, self.idle = self.idle, []
        await asyncio.gather(*(connection.close() for connection in connections))


async def look_up(connection: AsyncConnection, instance_id: str, handler: str) -> Row | None:
    """Read one row.

    :raises DBAPIError: it cannot be read.
    """
    found = (await connection.execute(LOOK_UP, {"instance_id": instance_id, "handler": handler})).first()
    return Row(*found) if found else None


async def drop(*connections: AsyncConnection) -> None:
    for connection in connections:
        await connection.invalidate()
        await connection.close()


Driver = tuple[Callable[[Any, str, tuple[str, str]], Awaitable[Any]], tuple[type[Exception], ...]]


async def read_by_asyncpg(driver: Any, text: str, key: tuple[str, str]) -> Any:
    return await driver.fetchrow(text, *key)


async def read_by_aiosqlite(driver: Any, text: str, key: tuple[str, str]) -> Any:
    return next(iter(await driver.execute_fetchall(text, key)), None)


async def read_by_asyncmy(driver: Any, text: str, key: tuple[str, str]) -> Any:
    async with driver.cursor() as cursor:
        await cursor.execute(text, key)
        return await cursor.fetchone()


#: The last is raised on a connection whose end has come and was not seen yet.
ASYNCPG_ERRORS: Final = ("PostgresError", "InterfaceError", "InternalClientError")
#: How each driver reads a row, and the errors that it may raise meanwhile, from SQLAlchemy's name for its module.
DRIVERS: Final[Mapping[str, Callable[[Any], Driver]]] = {
    "asyncpg": lambda dbapi: (
        read_by_asyncpg,
        (*(getattr(dbapi.asyncpg, name) for name in ASYNCPG_ERRORS), OSError),
    ),
    "aiosqlite": lambda dbapi: (read_by_aiosqlite, (dbapi.Error, ValueError)),
    "asyncmy": lambda dbapi: (read_by_asyncmy, (dbapi.Error, OSError)),
}
