"""Statements that wait: for a connection, for a file that somebody else writes to, for a table that is gone."""

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
from tests.support.pin_stores import KINDS, database_url, execute, make_table, with_store
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Row, claimed_before


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that these tests share."""
    with database_url(request.param, tmp_path_factory.mktemp("pins")) as made:
        make_table(made)
        yield made


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_all_connections_taken_is_no_pin_in_time(url: str) -> None:
    """A statement waits no longer than it may take, the wait for a connection included."""

    async def work(store: PinStore) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(store.engine.connect())
            await store.get("i", "mail")

    with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(TimeoutError\)$"):
        with_store(url, work, timeout=0.3)


def test_a_statement_waits_for_a_connection_as_long_as_others_end(url: str) -> None:
    """A hundred with five connections, or four, take longer together than one may."""

    async def work(store: PinStore) -> list[None]:
        await store.get("i", "mail")
        return await asyncio.gather(*(store.run(slow) for _ in range(110)))

    async def slow(_: object) -> None:
        await asyncio.sleep(0.1)

    assert [None] * 110 == with_store(url, work, timeout=2.0)


def test_a_table_that_is_gone(tmp_path: Path) -> None:
    """The store does not answer, as long as there is none."""

    async def work(store: PinStore) -> Row | None:
        await execute(store, "ALTER TABLE pins RENAME TO gone")
        with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(OperationalError\)$"):
            await store.get("i", "mail")
        await execute(store, "ALTER TABLE gone RENAME TO pins")
        return await store.get("i", "mail")

    url = f"sqlite:///{tmp_path}/pins.db"
    make_table(url)
    assert with_store(url, work) is None


@pytest.mark.parametrize("kind", DATABASES)
def test_connections_that_the_server_closed_are_replaced_at_once(kind: str) -> None:
    """All of them, though the first error is of one."""

    async def work(store: PinStore) -> list[Row | None]:
        await asyncio.gather(*(store.get("i", "mail") for _ in range(5)))
        await asyncio.to_thread(there.disconnect_all)
        return await asyncio.gather(*(store.get("i", "mail") for _ in range(20)))

    with database(kind) as there:
        make_table(there.url)
        assert [None] * 20 == with_store(there.url, work)


@pytest.mark.parametrize(("url", "sleep"), [("postgresql", "pg_sleep"), ("mariadb", "sleep")], indirect=["url"])
def test_what_was_given_up_in_the_middle_is_read_by_nobody(url: str, sleep: str) -> None:
    """Its connection is closed; the next statement has another one."""

    async def work(store: PinStore) -> Row | None:
        with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(TimeoutError\)$"):
            await store.run(lambda connection: connection.execute(text(f"SELECT {sleep}(60)")))
        return await store.get("i", "mail")

    assert with_store(url, work, timeout=1.5) is None


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    """A store in a file that somebody else is writing to."""
    url = f"sqlite:///{tmp_path}/pins.db"
    make_table(url)
    with closing(sqlite3.connect(tmp_path / "pins.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield url, other


def test_a_file_that_is_locked_is_written_to_as_soon_as_it_can_be(locked: tuple[str, sqlite3.Connection]) -> None:
    """Many wait in line; reading goes on meanwhile."""

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


def test_a_file_that_stays_locked(locked: tuple[str, sqlite3.Connection]) -> None:
    """All wait no longer together than one may, and what was given up keeps nobody from ending."""

    async def work(store: PinStore) -> None:
        for _ in range(2):
            with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(TimeoutError\)$"):
                await asyncio.gather(*(store.claim(str(number), "mail", "me", None) for number in range(200)))

    begun = time.monotonic()
    with_store(locked[0], work, timeout=0.3)
    assert time.monotonic() - begun < 30  # a fourth of what they would wait one after the other
