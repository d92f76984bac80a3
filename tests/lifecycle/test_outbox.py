"""The outbox of deleted instances, on each kind of database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.outboxes import LONG, age, rows_of, with_outbox
from tests.support.pin_stores import KINDS, database_url, make_table, new_instance
from vendorsrv.lifecycle.outbox import IDLE, Outbox
from vendorsrv.lifecycle.table import INSTANCE


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the tables."""
    with database_url(request.param, tmp_path) as url:
        make_table(url)
        yield url


def test_an_instance_is_added_once(url: str) -> None:
    """Of many that say at once that an instance is gone, one adds it, with its project, for each handler."""
    instance = new_instance()

    async def work(outbox: Outbox) -> None:
        assert [False] * 9 + [True] == sorted(await asyncio.gather(*(outbox.add(instance, "0b9d") for _ in range(10))))
        found = await rows_of(outbox.database, "instance_id", "handler", "project_id", "tries")
        assert [(instance, name, "0b9d", 0) for name in (INSTANCE, "mail", "vpn")] == found

    with_outbox(url, work)


def test_a_project_that_no_keystone_gives_is_not_stored(url: str) -> None:
    """An event whose project is no id is added without it."""

    async def work(outbox: Outbox) -> None:
        assert await outbox.add(new_instance(), "\N{PILE OF POO}")
        assert [(None,)] * 3 == await rows_of(outbox.database, "project_id")

    with_outbox(url, work)


def test_handlers_are_due_before_their_instance(url: str) -> None:
    """What handlers have to do is due at once, and their instance when they have ended, or after some minutes."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        assert [1, 1, 0] == [len(await outbox.due(name, 9)) for name in ("mail", "vpn", INSTANCE)]
        await age(outbox.database, IDLE)
        (entry,) = await outbox.due(INSTANCE, 9)
        assert IDLE <= entry.age < IDLE + LONG
        assert await outbox.is_busy(entry.instance_id)

    with_outbox(url, work)


def test_without_handlers_the_instance_is_due_at_once(url: str) -> None:
    """Where no handler has `deleted`, the instance is due at once."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(instance := new_instance())
        assert [instance] == [each.instance_id for each in await outbox.due(INSTANCE, 9)]

    with_outbox(url, work, ())


def test_a_try_belongs_to_one(url: str) -> None:
    """Of two that claim a try one gets it; the other one does once the claim has expired."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        (entry,) = await outbox.due("mail", 9)
        assert {True, False} == {await outbox.claim(entry, "one", LONG), await outbox.claim(entry, "two", LONG)}
        assert [] == await outbox.due("mail", 9)
        await age(outbox.database, LONG)
        (again,) = await outbox.due("mail", 9)
        assert (1, True) == (again.tries, await outbox.claim(again, "two", LONG))
        await outbox.end(entry, "one")
        assert [(None,)] * 3 == await rows_of(outbox.database, "ended_at")

    with_outbox(url, work)


def test_what_failed_is_due_later(url: str) -> None:
    """A try that failed is due after its pause, with its error."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        (entry,) = await outbox.due("mail", 9)
        await outbox.claim(entry, "one", LONG)
        await outbox.postpone(entry, "one", LONG, "e" * 300)
        assert [] == await outbox.due("mail", 9)
        await age(outbox.database, LONG)
        assert [(None,), ("e" * 255,), (None,)] == await rows_of(outbox.database, "last_error")
        assert [1] == [each.tries for each in await outbox.due("mail", 9)]

    with_outbox(url, work)


def test_the_end_of_a_handler_makes_its_instance_due(url: str) -> None:
    """Whoever looked at an instance too early looks again when a handler has ended meanwhile."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        (entry,) = await outbox.due("mail", 9)
        await outbox.claim(entry, "one", LONG)
        await age(outbox.database, IDLE)
        (itself,) = await outbox.due(INSTANCE, 9)
        await outbox.claim(itself, "two", LONG)
        await outbox.end(entry, "one")
        await outbox.postpone(itself, "two", LONG)
        assert [itself.key] == [each.key for each in await outbox.due(INSTANCE, 9)]

    with_outbox(url, work)


def test_what_no_handler_does_any_more_is_found(url: str) -> None:
    """What was added for a handler that is not enabled any more is found when it is old enough."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        left = Outbox(outbox.database, ["mail"])
        assert [] == await left.abandoned(LONG)
        await age(outbox.database, LONG)
        assert ["vpn"] == [each.handler for each in await left.abandoned(LONG)]

    with_outbox(url, work)


def test_an_instance_that_has_ended_is_forgotten_after_a_time(url: str) -> None:
    """All rows of an instance go some time after it has ended; then it can be added again."""
    instance = new_instance()

    async def work(outbox: Outbox) -> None:
        await outbox.add(instance)
        for name in ("mail", INSTANCE):
            await age(outbox.database, IDLE)
            (entry,) = await outbox.due(name, 9)
            await outbox.claim(entry, "one", LONG)
            await outbox.end(entry, "one", "it gave up")
        assert 0 == await outbox.purge(LONG)
        assert not await outbox.add(instance)
        await age(outbox.database, LONG)
        assert 1 == await outbox.purge(LONG)
        assert [] == await rows_of(outbox.database, "handler")
        assert await outbox.add(instance)

    with_outbox(url, work)
