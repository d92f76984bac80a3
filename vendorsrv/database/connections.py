"""A worker's connections to its database, which stay open between statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from vendorsrv.database.drivers import DriverError


class Connections:
    """Open connections of an engine, whose pool limits how many there are.

    To take one from the pool and to return it costs as much as three statements.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.idle: list[AsyncConnection] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection, opened now when none is idle; one whose use was cancelled or failed is closed."""
        connection = self.idle.pop() if self.idle else await self.engine.connect()
        try:
            yield connection
        except (DBAPIError, DriverError) as error:
            if isinstance(error, DBAPIError) and not error.connection_invalidated:
                self.idle.append(connection)
            else:  # the server may have closed the others as well
                lost, self.idle = self.idle, []
                await drop(connection, *lost)
            raise
        except BaseException:  # cancelled before the answer of the statement was read
            await asyncio.shield(asyncio.create_task(drop(connection)))
            raise
        self.idle.append(connection)

    async def close(self) -> None:
        """Close the idle connections."""
        connections, self.idle = self.idle, []
        await asyncio.gather(*(connection.close() for connection in connections))


async def drop(*connections: AsyncConnection) -> None:
    for connection in connections:
        await connection.invalidate()
        await connection.close()
