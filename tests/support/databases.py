"""Databases of their own for tests, in the PostgreSQL and the MariaDB of this machine."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.support import real_peers as peers
from tests.support.waiting import wait_until
from vendorsrv.database.url import async_url

#: The variable with the URL of a superuser, and the default.
SERVERS: Final = {
    "postgresql": ("VENDORSRV_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("VENDORSRV_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/mysql"),
}
NAMES: Final = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}
KINDS: Final = tuple(SERVERS)
#: The ids of the other connections to a database, and the statement that closes one.
CONNECTED: Final = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
DISCONNECT: Final = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


class Database:
    """An empty database.

    :ivar kind: ``postgresql`` or ``mariadb``.
    :ivar host: of the server.
    :ivar port: of the server.
    """

    def __init__(self, kind: str, url: URL) -> None:
        self.kind = kind
        self.at = url
        self.host = url.host or "127.0.0.1"
        self.port = url.port or {"postgresql": 5432, "mariadb": 3306}[kind]

    @property
    def url(self) -> str:
        """What an operator writes into ``[database] connection``."""
        return self.at.render_as_string(hide_password=False)

    def url_by(self, port: int) -> str:
        """Return the same URL through a relay on a loopback port."""
        return self.at.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements, each in a transaction of its own, and return the last one's rows."""
        return asyncio.run(execute(self.at, statements))

    def disconnect_all(self) -> None:
        """Close every connection to this database, as the server does when it shuts down."""
        connected = {number for (number,) in self.execute(CONNECTED[self.kind])}
        for number in connected:
            with suppress(OperationalError):  # it has closed meanwhile
                self.execute(DISCONNECT[self.kind].format(number))
        # Both databases only tell the connection to end.
        wait_until(lambda: connected.isdisjoint(number for (number,) in self.execute(CONNECTED[self.kind])))

    def fill(self) -> None:
        """Make the server refuse every further pin, as it does when its disk is full."""
        if self.kind == "postgresql":
            self.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$",
                "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON pins FOR EACH ROW EXECUTE FUNCTION refuse()",
            )
            return
        refuse = "FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'"
        self.execute(*(f"CREATE TRIGGER full_{when} BEFORE {when} ON pins {refuse}" for when in ("insert", "update")))

    def make_room(self) -> None:
        """Undo :meth:`fill`."""
        if self.kind == "postgresql":
            self.execute("DROP FUNCTION refuse CASCADE")
        else:
            self.execute("DROP TRIGGER full_insert", "DROP TRIGGER full_update")


@contextmanager
def database(kind: str) -> Iterator[Database]:
    """Create an empty database, and drop it at the end, even if it is in use.

    The test is skipped without a server.
    """
    peers.skip_if_unit()
    variable, default = SERVERS[kind]
    server = make_url(os.environ.get(variable, default))
    try:
        ((version,),) = asyncio.run(execute(server, ["SELECT version()"]))
    except (SQLAlchemyError, OSError):
        peers.missing(f"no {NAMES[kind]} at {server.host}; {variable} can name another")
    peers.RAN.setdefault(NAMES[kind], str(version).removeprefix("PostgreSQL ").split("-")[0].split()[0])
    name = f"vendorsrv_test_{secrets.token_hex(6)}"
    asyncio.run(execute(server, [f"CREATE DATABASE {name}"]))
    try:
        yield Database(kind, server.set(database=name))
    finally:
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        asyncio.run(execute(server, [f"DROP DATABASE {name}{force}"]))


async def execute(url: URL, statements: Sequence[str]) -> list[tuple[Any, ...]]:
    """Execute statements on one connection, and return the last one's rows."""
    engine: AsyncEngine = create_async_engine(
        async_url(url.render_as_string(hide_password=False)), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    rows: list[tuple[Any, ...]] = []
    try:
        async with engine.connect() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
                rows = [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await engine.dispose()
    return rows
