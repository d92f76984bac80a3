"""Each statement on the table of pins, on each kind of database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Update, update

from tests.support.pin_stores import KINDS, age, database_url, execute, make_table, new_instance, with_store
from vendorsrv import ConfigError
from vendorsrv.database.engine import Database
from vendorsrv.database.url import async_url
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import PINS, Row, claimed_before, pinned_before

#: Every byte, and more of them than MySQL's BLOB holds.
ANSWER = bytes(range(256)) * 300


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that the tests share; each test has its own instances."""
    with database_url(request.param, tmp_path_factory.mktemp("pins")) as created:
        make_table(created)
        yield created


async def pin(store: PinStore, instance_id: str, handler: str = "mail", answer: bytes = b"{}") -> None:
    """Claim an instance and pin an answer, as a worker does."""
    await store.claim(instance_id, handler, "me", None)
    await store.pin(instance_id, handler, "me", answer)


async def content(store: PinStore, instance_id: str) -> list[object]:
    """Return the owner and the answer of a row; an empty list when there is none."""
    row = await store.get(instance_id, "mail")
    return [] if row is None else [row.owner, row.answer]


def test_an_unknown_instance_has_no_row(url: str) -> None:
    """To read an instance that was never pinned returns None."""
    assert with_store(url, lambda store: store.get(new_instance(), "mail")) is None


def test_an_answer_is_returned_byte_for_byte(url: str) -> None:
    """A pinned answer is returned byte for byte, with the time of the pin by the database's clock."""

    async def work(store: PinStore) -> Row | None:
        await pin(store, instance_id, answer=ANSWER)
        return await store.get(instance_id, "mail")

    instance_id, before = new_instance(), time.time()
    row = with_store(url, work)
    assert row is not None
    assert (instance_id, "mail", ANSWER, None) == (row.instance_id, row.handler, row.answer, row.owner)
    assert before - 1 < (row.pinned_at or 0) < time.time() + 1
    assert -1 < row.claim_age < 60


def test_only_the_first_claim_succeeds(url: str) -> None:
    """The first claim of an instance returns True; the second returns False and changes nothing."""

    async def work(store: PinStore) -> list[object]:
        first = await store.claim(instance_id, "mail", "first", None)
        second = await store.claim(instance_id, "mail", "second", None)
        return [first, second, *await content(store, instance_id)]

    instance_id = new_instance()
    assert [True, False, "first", None] == with_store(url, work)


def test_an_expired_claim_is_replaced_once(url: str) -> None:
    """Of two workers that replace the same expired claim, only the first gets it."""

    async def work(store: PinStore) -> list[object]:
        await store.claim(instance_id, "mail", "dead", None)
        await store.claim(instance_id, "mail", "first", "dead")
        await store.claim(instance_id, "mail", "second", "dead")
        return await content(store, instance_id)

    instance_id = new_instance()
    assert ["first", None] == with_store(url, work)


def test_only_the_owner_of_a_claim_pins_an_answer(url: str) -> None:
    """A worker whose claim was replaced, answered or forgotten cannot pin its answer."""

    async def work(store: PinStore) -> list[list[object]]:
        await store.claim(instance_id, "mail", "dead", None)
        await store.claim(instance_id, "mail", "first", "dead")
        await store.pin(instance_id, "mail", "dead", b"late")
        taken_over = await content(store, instance_id)
        await store.pin(instance_id, "mail", "first", b"{}")
        await store.pin(instance_id, "mail", "first", b"twice")
        pinned = await content(store, instance_id)
        await store.forget([(instance_id, "mail")])
        await store.pin(instance_id, "mail", "first", b"late")
        return [taken_over, pinned, await content(store, instance_id)]

    instance_id = new_instance()
    assert [["first", None], [None, b"{}"], []] == with_store(url, work)


def test_only_the_owner_releases_a_claim(url: str) -> None:
    """A claim is released by its owner only, and a release never deletes an answer."""

    async def work(store: PinStore) -> list[list[object]]:
        await store.claim(instance_id, "mail", "first", None)
        await store.release(instance_id, "mail", "second")
        other = await content(store, instance_id)
        await store.release(instance_id, "mail", "first")
        own = await content(store, instance_id)
        await pin(store, instance_id)
        await store.release(instance_id, "mail", "me")
        return [other, own, await content(store, instance_id)]

    instance_id = new_instance()
    assert [["first", None], [], [None, b"{}"]] == with_store(url, work)


def test_an_imported_answer_never_replaces_one(url: str) -> None:
    """An imported answer is stored with its own time, and only where there is none."""

    async def work(store: PinStore) -> tuple[Row | None, list[object]]:
        await store.add(instance_id, "mail", b"{}", 1234.5)
        await store.add(instance_id, "mail", b"other", 2345.6)
        return await store.get(instance_id, "mail"), await content(store, instance_id)

    instance_id = new_instance()
    row, found = with_store(url, work)
    assert ([None, b"{}"], 1234.5) == (found, row and row.pinned_at)


def test_reencryption_replaces_only_an_unchanged_answer(url: str) -> None:
    """An answer that changed since it was read is not replaced by its new encryption."""

    async def work(store: PinStore) -> list[list[object]]:
        await pin(store, instance_id, answer=b"old")
        row = await store.get(instance_id, "mail")
        assert row is not None
        await store.replace(row, b"new")
        replaced = await content(store, instance_id)
        await store.replace(row, b"late")
        return [replaced, await content(store, instance_id)]

    instance_id = new_instance()
    assert [[None, b"new"], [None, b"new"]] == with_store(url, work)


def test_pages_list_each_answer_once_and_no_claim(url: str) -> None:
    """Pages of any size list each answer once, in the order of the keys, of one handler or all; and no claims."""

    async def work(store: PinStore) -> None:
        for instance_id in instances:
            await pin(store, instance_id, "dns")
            await pin(store, instance_id, "mail")
            await store.claim(instance_id, "claimed", "me", None)
        keys = [(each, handler) for each in sorted(instances) for handler in ("dns", "mail")]
        for size in (1, 2, 3, 100):
            found: list[tuple[str, str]] = []
            while rows := await store.page(size, found[-1] if found else ("", ""), instances):
                found += [(row.instance_id, row.handler) for row in rows]
            assert keys == found
        of_mail = await store.page(100, (min(instances), ""), instances, "mail")
        assert keys[3::2] == [(row.instance_id, row.handler) for row in of_mail]

    instances = [new_instance() for _ in range(3)]
    with_store(url, work)


def test_old_answers_and_claims_are_found_by_age(url: str) -> None:
    """Answers older than a time are found, the oldest first, and so are claims of dead workers."""

    async def work(store: PinStore) -> None:
        for number, instance_id in enumerate(instances):
            await store.add(instance_id, "mail", b"{}", number)
            await store.claim(instance_id, "claimed", "me", None)
        await age(store, instances[1], "claimed", claimed_at=1.0)
        assert [(each, "mail") for each in instances[:2]] == await store.find(pinned_before(1.5), 100)
        assert [(instances[0], "mail")] == await store.find(pinned_before(100.0), 1)
        assert [(instances[1], "claimed")] == await store.find(claimed_before(1.5), 100)
        await store.forget([(each, "mail") for each in instances], pinned_before(1.5))
        assert [[], [], [None, b"{}"]] == [await content(store, each) for each in instances]
        await store.forget([(instances[2], "mail")])

    instances = [new_instance() for _ in range(3)]
    with_store(url, work)


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_statement_is_repeated_after_a_deadlock(url: str) -> None:
    """A statement that MariaDB ends to resolve a deadlock is repeated, and succeeds."""

    async def work(store: PinStore) -> None:
        for instance_id in instances:
            await pin(store, instance_id)
        async with store.database.engine.connect() as other:
            await other.execution_options(isolation_level="READ COMMITTED")
            # More changes than the store's, so that MariaDB ends the store's statement.
            await other.execute(touch(instances[1:]))
            forgetting = asyncio.create_task(store.forget([(instances[0], "mail"), (instances[1], "mail")]))
            while not await execute(store.database, WAITING):
                assert not forgetting.done()
                await asyncio.sleep(0.2)  # MariaDB caches this view for a tenth of a second
            await other.execute(touch(instances[:1]))
            await other.commit()
        await forgetting
        assert [[], [], [None, b"{}"]] == [await content(store, each) for each in instances[:3]]

    instances = sorted(new_instance() for _ in range(5))
    with_store(url, work)


def touch(instances: list[str]) -> Update:
    """Return a statement that locks and changes rows."""
    return update(PINS).where(PINS.c.instance_id.in_(instances)).values(pinned_at=7.0)


#: In this database only: others may run this test on the same server.
WAITING = (
    "SELECT 1 FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id "
    "WHERE db = database() AND trx_state = 'LOCK WAIT' AND trx_query LIKE 'DELETE%pins%'"
)


def test_an_unavailable_database_is_reported_without_its_address() -> None:
    """The error names the kind of failure only; Nova shows it to tenants."""
    with pytest.raises(PinsUnavailable) as raised:
        with_store("postgresql://127.0.0.1:1/planted", lambda store: store.get("i", "mail"))
    assert "the pin store does not answer (ConnectionRefusedError)" == str(raised.value)


def test_a_url_that_sqlalchemy_refuses_is_a_configuration_error() -> None:
    """A URL with a plugin that does not exist is refused with SQLAlchemy's reason."""
    url = async_url("postgresql://h/d").update_query_dict({"plugin": "nosuch"})
    with pytest.raises(ConfigError, match=r"^\[database\] connection: Can't load plugin: sqlalchemy.plugins:nosuch$"):
        Database(url, 1.0)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_refuses_connections_is_unavailable(kind: str, tmp_path: Path) -> None:
    """When the server refuses the connection, here because the database does not exist, pins are unavailable."""
    with database_url(kind, tmp_path) as url:
        missing = url.replace("vendorsrv_test_", "planted_")
    with pytest.raises(PinsUnavailable):
        with_store(missing, lambda store: store.get(new_instance(), "mail"))
