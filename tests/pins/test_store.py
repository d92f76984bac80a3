"""The table of pins on each database that is served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Update, update

from tests.support.pin_stores import KINDS, age, database_url, execute, make_table, new_instance, with_store
from vendorsrv import ConfigError
from vendorsrv.database.url import async_url
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import PINS, Row, claimed_before, pinned_before

#: Every byte there is, and more than MySQL's BLOB holds.
ANSWER = bytes(range(256)) * 300


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that these tests share; each has instances of its own."""
    with database_url(request.param, tmp_path_factory.mktemp("pins")) as made:
        make_table(made)
        yield made


async def pin(store: PinStore, instance_id: str, handler: str = "mail", answer: bytes = b"{}") -> None:
    """Pin an answer as a worker does."""
    await store.claim(instance_id, handler, "me", None)
    await store.fulfil(instance_id, handler, "me", answer)


async def content(store: PinStore, instance_id: str) -> list[object]:
    """Give what a row holds that no clock decides."""
    row = await store.get(instance_id, "mail")
    return [] if row is None else [row.owner, row.answer]


def test_nothing_is_there_at_first(url: str) -> None:
    """No row is no claim and no answer."""
    assert with_store(url, lambda store: store.get(new_instance(), "mail")) is None


def test_an_answer_is_given_back_byte_for_byte(url: str) -> None:
    """With the time at which it was pinned, by the clock of the store."""

    async def work(store: PinStore) -> Row | None:
        await pin(store, instance_id, answer=ANSWER)
        return await store.get(instance_id, "mail")

    instance_id, before = new_instance(), time.time()
    row = with_store(url, work)
    assert row is not None
    assert (instance_id, "mail", ANSWER, None) == (row.instance_id, row.handler, row.answer, row.owner)
    assert before - 1 < (row.pinned_at or 0) < time.time() + 1
    assert -1 < row.claim_age < 60


def test_the_first_claim_holds(url: str) -> None:
    """Whoever has it knows so; a second one changes nothing."""

    async def work(store: PinStore) -> list[object]:
        first = await store.claim(instance_id, "mail", "first", None)
        second = await store.claim(instance_id, "mail", "second", None)
        return [first, second, *await content(store, instance_id)]

    instance_id = new_instance()
    assert [True, False, "first", None] == with_store(url, work)


def test_a_claim_is_taken_from_its_owner_alone(url: str) -> None:
    """Two that find the same claim over cannot both have it."""

    async def work(store: PinStore) -> list[object]:
        await store.claim(instance_id, "mail", "dead", None)
        await store.claim(instance_id, "mail", "first", "dead")
        await store.claim(instance_id, "mail", "second", "dead")
        return await content(store, instance_id)

    instance_id = new_instance()
    assert ["first", None] == with_store(url, work)


def test_only_the_owner_of_a_claim_stores_an_answer(url: str) -> None:
    """Somebody whose claim was taken over is too late, and so is somebody whose claim was forgotten."""

    async def work(store: PinStore) -> list[list[object]]:
        await store.claim(instance_id, "mail", "dead", None)
        await store.claim(instance_id, "mail", "first", "dead")
        await store.fulfil(instance_id, "mail", "dead", b"late")
        taken_over = await content(store, instance_id)
        await store.fulfil(instance_id, "mail", "first", b"{}")
        await store.fulfil(instance_id, "mail", "first", b"twice")
        pinned = await content(store, instance_id)
        await store.forget([(instance_id, "mail")])
        await store.fulfil(instance_id, "mail", "first", b"late")
        return [taken_over, pinned, await content(store, instance_id)]

    instance_id = new_instance()
    assert [["first", None], [None, b"{}"], []] == with_store(url, work)


def test_a_claim_is_given_up_by_its_owner_alone(url: str) -> None:
    """And an answer by nobody."""

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


def test_an_answer_from_elsewhere_replaces_none(url: str) -> None:
    """It is stored with its own time, where there is nothing."""

    async def work(store: PinStore) -> tuple[Row | None, list[object]]:
        await store.add(instance_id, "mail", b"{}", 1234.5)
        await store.add(instance_id, "mail", b"other", 2345.6)
        return await store.get(instance_id, "mail"), await content(store, instance_id)

    instance_id = new_instance()
    row, found = with_store(url, work)
    assert ([None, b"{}"], 1234.5) == (found, row and row.pinned_at)


def test_another_encryption_replaces_the_same_answer_alone(url: str) -> None:
    """What was forgotten and made anew meanwhile is another answer."""

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


def test_pages_have_each_answer_once_and_no_claim(url: str) -> None:
    """In one order, whatever the page's size, of some handlers or all."""

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


def test_old_answers_are_found_by_their_age(url: str) -> None:
    """The oldest first; and the claims of dead workers, which have no answer to be old."""

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
    """MariaDB chooses a victim among those who wait for each other; it need not notice."""

    async def work(store: PinStore) -> None:
        for instance_id in instances:
            await pin(store, instance_id)
        async with store.engine.connect() as other:
            await other.execution_options(isolation_level="READ COMMITTED")
            # More changes than the store's: it will be the victim.
            await other.execute(touch(instances[1:]))
            forgetting = asyncio.create_task(store.forget([(instances[0], "mail"), (instances[1], "mail")]))
            while not await execute(store, WAITING):
                assert not forgetting.done()
                await asyncio.sleep(0.2)  # MariaDB gives the same answer for a tenth of a second
            await other.execute(touch(instances[:1]))
            await other.commit()
        await forgetting
        assert [[], [], [None, b"{}"]] == [await content(store, each) for each in instances[:3]]

    instances = sorted(new_instance() for _ in range(5))
    with_store(url, work)


def touch(instances: list[str]) -> Update:
    """Give a statement that locks rows, and changes them."""
    return update(PINS).where(PINS.c.instance_id.in_(instances)).values(pinned_at=7.0)


#: Of this database alone: others run the same test on the same server.
WAITING = (
    "SELECT 1 FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id "
    "WHERE db = database() AND trx_state = 'LOCK WAIT' AND trx_query LIKE 'DELETE%pins%'"
)


def test_a_database_that_is_away() -> None:
    """The reason is for the log, and not for a tenant."""
    with pytest.raises(PinsUnavailable) as raised:
        with_store("postgresql://127.0.0.1:1/planted", lambda store: store.get("i", "mail"))
    assert "the pin store does not answer (ConnectionRefusedError)" == str(raised.value)


def test_an_url_that_the_library_refuses() -> None:
    """One that needs a plugin, say, which no driver of ours has."""
    url = async_url("postgresql://h/d").update_query_dict({"plugin": "nosuch"})
    with pytest.raises(ConfigError, match=r"^\[database\] connection: Can't load plugin: sqlalchemy.plugins:nosuch$"):
        PinStore(url, 1.0)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_refuses_connections_is_unavailable(kind: str, tmp_path: Path) -> None:
    """Whatever error the driver has for that."""
    with database_url(kind, tmp_path) as url:
        missing = url.replace("vendorsrv_test_", "planted_")
    with pytest.raises(PinsUnavailable):
        with_store(missing, lambda store: store.get(new_instance(), "mail"))
