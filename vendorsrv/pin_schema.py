"""The schema of the pin store: created, migrated, and refused when it is not ours."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from vendorsrv.errors import ConfigError
from vendorsrv.pin_store import IN_MEMORY, SCHEMA, VERSION_TABLE, PinStore

UPGRADE: Final = "run: vendorsrv db upgrade --config-file FILE"
CREATE_TIMEOUT: Final = 30.0


async def prepare(store: PinStore) -> None:
    """Make sure that the store has our schema; a SQLite file that does not exist yet is created with it.

    So is a database in memory (``sqlite://``), which lasts as long as its process: the demo's.

    :raises ConfigError: the schema is missing, older or newer, or the file cannot be created.
    :raises PinsUnavailable: the store does not answer now.
    """
    path = sqlite_path(store.url)
    if path and is_missing(path):
        await create_sqlite(path)
    if store.in_memory:
        await upgrade(store)
    found = await store.run(revision_of)
    if found is None:
        raise ConfigError(f"[database] connection: the database has no table of pins; {UPGRADE}")
    if found != SCHEMA:
        age = "a newer" if found > SCHEMA else "an older"
        cure = "install that version" if found > SCHEMA else UPGRADE
        raise ConfigError(f"[database] connection: the schema ({found}) is of {age} version of vendorsrv; {cure}")


async def upgrade(store: PinStore) -> None:
    """Create the table, or bring it to our schema.

    :raises ConfigError: the database refuses, or does not answer.
    """
    try:
        async with store.engine.connect() as connection:
            await connection.run_sync(migrate)
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise ConfigError(f"[database] connection: the database cannot be upgraded: {reason}") from None


def migrate(connection: Connection) -> None:
    # Imported here: of all the processes only the one that upgrades needs alembic.
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)  # it names each of its own plugins
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def revision_of(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(VERSION_TABLE)):
        return None
    versions = table(VERSION_TABLE, column("version_num"))
    return (await connection.execute(select(versions.c.version_num))).scalar()


async def create_sqlite(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path.parent):
            if is_missing(path):  # another worker may have been first
                # First beside it: a file that exists is whole. What is pinned may be secret.
                new = f"{path}.new"
                os.close(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
                await create_at(new)
                os.replace(new, path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}") from None


def is_missing(path: Path) -> bool:
    return not path.exists()


async def create_at(path: str) -> None:
    store = PinStore(URL.create("sqlite+aiosqlite", database=path), CREATE_TIMEOUT)
    try:
        await upgrade(store)
    finally:
        await store.close()  # checkpoints the write-ahead log into the file


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
