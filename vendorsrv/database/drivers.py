"""One row read by the database's driver itself: SQLAlchemy's way takes half of a pinned request's CPU more."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection


class DriverError(Exception):
    """A driver could not read a row. SQLAlchemy knows what its error means, and reads again."""


class RowQuery:
    """A SELECT of at most one row, compiled once.

    :param statement: with bound parameters only; their values are given in the order of the statement.
    """

    def __init__(self, statement: Select[Any], dialect: Any) -> None:
        self.statement = statement
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self.names = compiled.positiontup
        self.fetch = FETCHERS[dialect.driver]
        self.errors = errors_of(dialect)

    async def read(self, connection: AsyncConnection, values: tuple[str, ...]) -> Any:
        """Return the row as :meth:`execute` does, at a tenth of its cost; None when there is none.

        :raises DriverError: use :meth:`execute`, on another connection.
        """
        assert connection.sync_connection
        driver = connection.sync_connection.connection.driver_connection
        try:
            return await self.fetch(driver, self.text, values)
        except self.errors as error:
            raise DriverError from error

    async def execute(self, connection: AsyncConnection, values: tuple[str, ...]) -> Any:
        """Return the row, read by SQLAlchemy with its errors; None when there is none."""
        return (await connection.execute(self.statement, dict(zip(self.names, values, strict=True)))).first()


async def fetch_by_asyncpg(driver: Any, text: str, values: tuple[str, ...]) -> Any:
    return await driver.fetchrow(text, *values)


async def fetch_by_aiosqlite(driver: Any, text: str, values: tuple[str, ...]) -> Any:
    return next(iter(await driver.execute_fetchall(text, values)), None)


async def fetch_by_asyncmy(driver: Any, text: str, values: tuple[str, ...]) -> Any:
    async with driver.cursor() as cursor:
        await cursor.execute(text, values)
        return await cursor.fetchone()


FETCHERS: Final = {"asyncpg": fetch_by_asyncpg, "aiosqlite": fetch_by_aiosqlite, "asyncmy": fetch_by_asyncmy}


def errors_of(dialect: Any) -> tuple[type[Exception], ...]:
    """Return the errors that a driver raises, past SQLAlchemy, when it connects or reads."""
    dbapi = dialect.loaded_dbapi
    if dialect.driver == "asyncpg":
        # The last is raised on a connection that the server has closed, before asyncpg has noticed.
        names = ("PostgresError", "InterfaceError", "InternalClientError")
        return (*(getattr(dbapi.asyncpg, name) for name in names), OSError)
    return (dbapi.Error, OSError, ValueError)
