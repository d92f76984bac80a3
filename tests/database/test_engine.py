"""Statements that wait for a connection, a locked file or a lost table."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.databases import KINDS as DATABASES
from tests.support.databases import database
from tests.support.pin_stores import KINDS, database_url, execute, make_table, with_database, with_store
from vendorsrv.database.engine import Database, DatabaseUnavailable
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Row, claimed_before


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that the tests share."""
    with database_url(request.param, tmp_path_factory.mktemp("pins")) as created:
        make_table(created)
        yield created


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_waiting_for_a_connection_counts_as_time_of_the_statement(url: str) -> None:
    """A statement that gets no connection within its timeout fails."""

    async def work(store: PinStore) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(store.database.engine.connect())
            await store.get("i", "mail")

    with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(TimeoutError\)$"):
        with_store(url, work, timeout=0.3)


def test_a_statement_waits_for_its_turn_as_long_as_others_end(url: str) -> None:
    """Statements that queue for a connection do not fail while the database answers, however long the queue is."""

    async def work(database: Database) -> list[None]:
        return await asyncio.gather(*(database.run(slow) for _ in range(110)))

    async def slow(_: object) -> None:
        await asyncio.sleep(0.1)

    assert [None] * 110 == with_database(url, work, timeout=2.0)


def test_a_missing_table_makes_the_store_unavailable_until_it_is_back(tmp_path: Path) -> None:
    """While the table of pins is missing, statements fail; once it is back, they succeed."""

    async def work(store: PinStore) -> Row | None:
        await execute(store.database, "ALTER TABLE pins RENAME TO gone")
        with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(OperationalError\)$"):
            await store.get("i", "mail")
        await execute(store.database, "ALTER TABLE gone RENAME TO pins")
        return await store.get("i", "mail")

    url = f"sqlite:///{tmp_path}/pins.db"
    make_table(url)
    assert with_store(url, work) is None


@pytest.mark.parametrize("kind", DATABASES)
def test_connections_that_the_server_closed_are_replaced_at_once(kind: str) -> None:
    """After the server has closed every connection, all statements succeed on new ones."""

    async def work(store: PinStore) -> list[Row | None]:
        await asyncio.gather(*(store.get("i", "mail") for _ in range(5)))
        await asyncio.to_thread(there.disconnect_all)
        return await asyncio.gather(*(store.get("i", "mail") for _ in range(20)))

    with database(kind) as there:
        make_table(there.url)
        assert [None] * 20 == with_store(there.url, work)


@pytest.mark.parametrize(("url", "sleep"), [("postgresql", "pg_sleep"), ("mariadb", "sleep")], indirect=["url"])
def test_the_connection_of_a_statement_that_timed_out_is_not_used_again(url: str, sleep: str) -> None:
    """A statement after one that timed out runs on another connection, and reads its own result."""

    async def work(store: PinStore) -> Row | None:
        with pytest.raises(DatabaseUnavailable, match=r"^the database does not answer \(TimeoutError\): no answer in"):
            await store.database.run(lambda connection: connection.execute(text(f"SELECT {sleep}(60)")))
        return await store.get("i", "mail")

    assert with_store(url, work, timeout=1.5) is None


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    """A SQLite store, and another connection that holds its write lock."""
    url = f"sqlite:///{tmp_path}/pins.db"
    make_table(url)
    with closing(sqlite3.connect(tmp_path / "pins.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield url, other


def test_writes_wait_for_a_locked_file_while_reads_go_on(locked: tuple[str, sqlite3.Connection]) -> None:
    """Writes to a locked SQLite file succeed once the lock is released, and reads succeed meanwhile."""

    async def work(store: PinStore) -> int:
        claims = [asyncio.create_task(store.claim(str(number), "mail", "me", None)) for number in range(20)]
        done, _ = await asyncio.wait(claims, timeout=0.1)
        assert set() == done
        assert await store.get("0", "mail") is None
        other.execute("ROLLBACK")
        await asyncio.gather(*claims)
        return len(await store.find(claimed_before(time.time() + 60), 100))

    url, other = locked
    assert 20 == with_store(url, work)


def test_writes_to_a_file_that_stays_locked_fail_together(locked: tuple[str, sqlite3.Connection]) -> None:
    """When the lock stays, all queued writes fail after one timeout, and the store can be closed."""

    async def work(store: PinStore) -> None:
        for _ in range(2):
            with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(TimeoutError\)$"):
                await asyncio.gather(*(store.claim(str(number), "mail", "me", None) for number in range(200)))

    begun = time.monotonic()
    with_store(locked[0], work, timeout=0.3)
    assert time.monotonic() - begun < 30  # a fourth of what they would wait one after the other
