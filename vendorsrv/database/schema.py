"""The schema of the pin store: created, migrated, and refused when it is not ours."""

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

from sqlalchemy import Connection, column, inspect, select, table, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from vendorsrv.errors import ConfigError
from vendorsrv.pins.store import IN_MEMORY, PinStore, reason_of
from vendorsrv.pins.table import SCHEMA, VERSION_TABLE

UPGRADE: Final = "run: vendorsrv db upgrade --config-file FILE"
#: Seconds to reach the database; those that a migration takes are not limited.
CONNECT_TIMEOUT: Final = 10.0
#: How two upgrades at once become one after the other, while the transaction or the connection lasts.
LOCKS: Final = {
    "postgresql": "SELECT pg_advisory_xact_lock(hashtext('vendorsrv'))",
    "mysql": "SELECT get_lock('vendorsrv', 600)",
    "mariadb": "SELECT get_lock('vendorsrv', 600)",
}


async def prepare(store: PinStore) -> None:
    """Make sure that the store has our schema; a SQLite file that does not exist yet is created with it.

    So is a database in memory (``sqlite://``), which lasts as long as its process: the demo's.

    :raises ConfigError: the schema is missing, older or newer, or the file cannot be created.
    :raises PinsUnavailable: the store does not answer now.
    """
    path = sqlite_path(store.url)
    if store.in_memory or (path and is_missing(path)):
        await upgrade(store)
    await verify(store)


async def verify(store: PinStore) -> None:
    """Refuse a schema that is not ours; nothing is created.

    :raises ConfigError: it is missing, older or newer.
    :raises PinsUnavailable: the store does not answer now.
    """
    found = await store.run(revision_of)
    if found is None:
        raise ConfigError(f"[database] connection: the database has no table of pins; {UPGRADE}")
    if found > SCHEMA:
        raise newer(found)
    if found < SCHEMA:
        raise ConfigError(f"[database] connection: the schema ({found}) is of an older version of vendorsrv; {UPGRADE}")


async def upgrade(store: PinStore) -> None:
    """Create the table, or bring it to our schema; many may do so at once.

    :raises ConfigError: the database refuses, does not answer, or is of a newer version already.
    """
    path = sqlite_path(store.url)
    if path:
        await upgrade_sqlite(path, store)
    else:
        await upgrade_existing(store)


async def upgrade_sqlite(path: Path, store: PinStore) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path.parent):
            if is_missing(path):  # another worker may have been first
                await create_sqlite(path)
            else:
                await upgrade_existing(store)
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}") from None


async def create_sqlite(path: Path) -> None:
    # First beside it: a file that exists is whole.
    with TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        new = Path(folder) / path.name
        new.touch(mode=0o600)  # what is pinned may be secret
        store = PinStore(URL.create("sqlite+aiosqlite", database=str(new)), CONNECT_TIMEOUT)
        try:
            await upgrade_existing(store)
        finally:
            await store.close()  # checkpoints the write-ahead log into the file
        os.replace(new, path)


async def upgrade_existing(store: PinStore) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT) as connecting, store.engine.connect() as connection:
            connecting.reschedule(None)
            await upgrade_connected(connection)
    except store.connections.errors as error:
        raise ConfigError(f"[database] connection: the database cannot be upgraded: {reason_of(error)}") from None


async def upgrade_connected(connection: AsyncConnection) -> None:
    lock = LOCKS.get(connection.dialect.name)
    if lock:
        # A transaction, so that PostgreSQL has all of a migration or nothing.
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
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it names each of its own plugins as it is imported

    # Imported here: of all the processes only the one that upgrades needs alembic.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def revision_of(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(VERSION_TABLE)):
        return None
    versions = table(VERSION_TABLE, column("version_num"))
    return (await connection.execute(select(versions.c.version_num))).scalar()


def is_missing(path: Path) -> bool:
    return not os.path.exists(path)  # unlike Path.exists, false for what may not be looked at


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory's lock: workers that start together create the file once."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sqlite_path(url: URL) -> Path | None:
    """Give the file of a SQLite store; None for other databases and for one in memory."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database not in IN_MEMORY else None
