"""The schema of the database: created, migrated, and refused when it is of another version."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Connection, MetaData, column, inspect, select, table, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from vendorsrv.database.engine import Database, reason_of
from vendorsrv.errors import ConfigError

#: The tables of this version; each package that has one adds it.
METADATA: Final = MetaData()
#: The last of the migrations after which older servers cannot work, and the table that has the last one that was run.
SCHEMA: Final = "0001"
VERSION_TABLE: Final = "vendorsrv_version"
#: The last of the expansions, which add nullable columns and tables that older servers need not know, and their table.
EXPANSION: Final = "0003"
EXPANSION_TABLE: Final = "vendorsrv_expansion"

UPGRADE: Final = "run: vendorsrv db upgrade --config-file FILE"
#: Seconds to reach the database; a migration itself has no time limit.
CONNECT_TIMEOUT: Final = 10.0
#: Locks that make a second upgrade wait for the first; they last as long as the transaction or the connection.
LOCKS: Final = {
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext('vendorsrv'))",
    "mysql": "SELECT get_lock('vendorsrv', 600)",
    "mariadb": "SELECT get_lock('vendorsrv', 600)",
}


async def prepare(database: Database) -> None:
    """Check the schema. A SQLite file that does not exist is created with it.

    So is a database in memory (``sqlite://``), which lasts as long as its process: the demo's.

    :raises ConfigError: the schema is missing, older or newer, or the file cannot be created.
    :raises DatabaseUnavailable: the database does not answer now.
    """
    if database.in_memory or database.is_missing:
        await upgrade(database)
    await verify(database)


async def verify(database: Database) -> None:
    """Check the schema; nothing is created.

    :raises ConfigError: it is missing, older or newer.
    :raises DatabaseUnavailable: the database does not answer now.
    """
    found = await database.run(revision_of)
    if found is None:
        raise ConfigError(f"[database] connection: the database has no tables of vendorsrv; {UPGRADE}")
    if found > SCHEMA:
        raise newer(found)
    if found == SCHEMA:
        # That of a newer version changes nothing for this one.
        found = await database.run(expansion_of) or SCHEMA
    if found < EXPANSION:
        raise ConfigError(f"[database] connection: the schema ({found}) is of an older version of vendorsrv; {UPGRADE}")


async def upgrade(database: Database) -> None:
    """Create the tables, or migrate them to this version; several processes may do so at once.

    :raises ConfigError: the database refuses, does not answer, or is of a newer version already.
    """
    path = database.file
    if path is None:
        await upgrade_existing(database)
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path.parent):
            if database.is_missing:  # another worker may have been first
                await create_sqlite(path)
            else:
                await upgrade_existing(database)
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}") from None


async def create_sqlite(path: Path) -> None:
    # Beside it first, so that a file that exists is complete.
    with TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        new = Path(folder) / path.name
        new.touch(mode=0o600)  # answers may be secret
        database = Database(URL.create("sqlite+aiosqlite", database=str(new)), CONNECT_TIMEOUT)
        try:
            await upgrade_existing(database)
        finally:
            await database.close()  # checkpoints the write-ahead log into the file
        os.replace(new, path)


async def upgrade_existing(database: Database) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT) as connecting, database.engine.connect() as connection:
            connecting.reschedule(None)
            await upgrade_connected(connection)
    except database.errors as error:
        raise ConfigError(f"[database] connection: the database cannot be upgraded: {reason_of(error)}") from None


async def upgrade_connected(connection: AsyncConnection) -> None:
    lock = LOCKS.get(connection.dialect.name)
    if lock:
        # A transaction: PostgreSQL runs a migration as a whole or not at all.
        await connection.execution_options(isolation_level="READ COMMITTED")
        await connection.execute(text(lock))
    found = await revision_of(connection)
    if found and found > SCHEMA:
        raise newer(found)
    await connection.run_sync(migrate)
    if lock:
        await connection.commit()
        await connection.invalidate()  # the pool would keep the lock


def newer(found: str) -> ConfigError:
    return ConfigError(
        f"[database] connection: the schema ({found}) is of a newer version of vendorsrv; install that version"
    )


def migrate(connection: Connection) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # alembic logs each of its plugins when it is imported

    # Imported here: only a process that upgrades needs alembic.
    from alembic import command
    from alembic.config import Config

    folder = Path(__file__).parent / "migrations"
    for name, version_table in (("versions", VERSION_TABLE), ("expansions", EXPANSION_TABLE)):
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.set_main_option("version_locations", str(folder / name))
        for option in ("version_path_separator", "path_separator"):  # before alembic 1.16, and since
            config.set_main_option(option, "os")
        config.attributes |= {"connection": connection, "version_table": version_table}
        command.upgrade(config, "head")


async def revision_of(connection: AsyncConnection, version_table: str = VERSION_TABLE) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(version_table)):
        return None
    versions = table(version_table, column("version_num"))
    return (await connection.execute(select(versions.c.version_num))).scalar()


async def expansion_of(connection: AsyncConnection) -> str | None:
    return await revision_of(connection, EXPANSION_TABLE)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory's lock, so that workers that start together create the file once."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
