"""A database that fails under a real server: 503 in time, and never an unpinned answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, NamedTuple

import pytest

from tests.support.databases import KINDS, Database, database
from tests.support.fleet import Fleet, Reply, instances
from tests.support.pin_stores import make_table
from tests.support.relay import Relay
from tests.support.serving import run, section
from tests.support.waiting import wait_until
from vendorsrv.database import engine
from vendorsrv.database.url import async_url
from vendorsrv.pins.store import PinStore

NUMBERS: Final = count(1000, 100)
PATHS: Final = ("/pinned", "/pinned-or-empty")


class Site(NamedTuple):
    """A server whose database is behind a relay."""

    fleet: Fleet
    relay: Relay
    database: Database

    def pinned(self) -> tuple[str, dict[str, bytes]]:
        """Pin a new instance, and return it with its answers by path."""
        (instance,) = instances(1, next(NUMBERS))
        wait_until(lambda: {200} == {self.fleet.ask(path, instance).status for path in PATHS})
        return instance, {path: self.fleet.ask(path, instance).body for path in PATHS}

    def ask(self, *asked: str) -> list[tuple[str, Reply]]:
        """Ask for some instances on both paths, concurrently."""
        replies: list[tuple[str, Reply]] = []

        def ask(path: str, instance: str) -> None:
            replies.append((path, self.fleet.ask(path, instance)))

        threads = [threading.Thread(target=ask, args=(path, instance)) for path in PATHS for instance in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return replies


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site on each kind of database; each test repairs what it breaks."""
    with database(request.param) as there, Relay(there.host, there.port) as relay:
        make_table(there.url)
        sections = section("database", {"connection": there.url_by(relay.port)})
        with Fleet(tmp_path_factory.mktemp("site"), "Pinned, PinnedOrEmpty", sections) as fleet:
            yield Site(fleet, relay, there)


FAULTS: dict[str, Callable[[Relay], None]] = {
    "stopped": Relay.cut,
    "hung": Relay.hang,
    "too slow": lambda relay: relay.slow(1.6),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_without_the_database_every_request_gets_503_in_time(site: Site, fault: str) -> None:
    """While the database fails, all instances are answered 503 in time; afterwards pins have the same bytes."""
    old, before = site.pinned()
    new, newer, newest = instances(3, next(NUMBERS))
    FAULTS[fault](site.relay)
    try:
        replies = site.ask(old, new) + site.ask(newer) + site.ask(old, newest)
    finally:
        site.relay.heal()
    assert {503} == {reply.status for _, reply in replies}
    assert {True} == {b'"code": "pins_unavailable"' in reply.body for _, reply in replies}
    assert 5.0 > max(reply.seconds for _, reply in replies)
    wait_until(lambda: {200} == {reply.status for _, reply in site.ask(old, new, newer, newest)})
    assert before == {path: site.fleet.ask(path, old).body for path in PATHS}


def test_a_hanging_database_does_not_keep_the_server_from_stopping(site: Site) -> None:
    """To close a store whose database hangs takes a bounded time."""

    async def use_and_close() -> float:
        store = PinStore(engine.Database(async_url(site.database.url_by(site.relay.port)), 2.0))
        await store.get("", "")
        site.relay.hang()
        started = time.monotonic()
        await store.close()
        return time.monotonic() - started

    try:
        assert 30.0 > run(use_and_close())  # it hangs for good
    finally:
        site.relay.heal()


def test_after_a_restart_of_the_database_no_request_fails(site: Site) -> None:
    """When the database has closed all connections and is back, requests succeed with the same bytes."""
    old, before = site.pinned()
    (new,) = instances(1, next(NUMBERS))
    site.database.disconnect_all()
    site.relay.cut()
    site.relay.heal()
    replies = site.ask(old, new)
    assert {200} == {reply.status for _, reply in replies}
    assert before == {path: reply.body for path, reply in replies if reply.instance == old}


def test_a_slow_database_is_waited_for(site: Site) -> None:
    """A database that is slow, but within the request's time, causes no error."""
    old, before = site.pinned()
    site.relay.slow(0.005)
    try:
        replies = site.ask(old, *instances(1, next(NUMBERS)))
    finally:
        site.relay.heal()
    assert {200} == {reply.status for _, reply in replies}
    assert before == {path: reply.body for path, reply in replies if reply.instance == old}


def test_with_a_flapping_database_requests_get_the_pinned_answer_or_503(site: Site) -> None:
    """While the database comes and goes, each answer is 503 or the one that is pinned at the end."""
    asked = instances(4, next(NUMBERS))
    site.relay.flap(0.1)
    try:
        replies = [reply for _ in range(4) for reply in site.ask(*asked)]
    finally:
        site.relay.heal()
    assert {200, 503} >= {reply.status for _, reply in replies}
    assert 5.0 > max(reply.seconds for _, reply in replies)
    wait_until(lambda: {200} == {reply.status for _, reply in site.ask(*asked)})
    answers = {(path, reply.instance, reply.body) for path, reply in replies if reply.status == 200}
    assert answers <= {(path, reply.instance, reply.body) for path, reply in site.ask(*asked)}


def test_with_a_full_database_pins_are_served_and_new_instances_get_503(site: Site) -> None:
    """With a full database, pinned answers are served and new instances are answered 503 until there is room."""
    old, before = site.pinned()
    (new,) = instances(1, next(NUMBERS))
    site.database.fill()
    try:
        replies = site.ask(old, new)
    finally:
        site.database.make_room()
    assert before == {path: reply.body for path, reply in replies if reply.instance == old}
    refused = [reply for _, reply in replies if reply.instance == new]
    assert [503, 503] == [reply.status for reply in refused]
    assert 5.0 > max(reply.seconds for reply in refused)
    wait_until(lambda: {200} == {reply.status for _, reply in site.ask(new)})


def test_an_answer_that_could_not_be_pinned_is_not_returned(site: Site) -> None:
    """When the database fails while the handler runs, the request gets 503, and a second run is pinned later."""
    (new,) = instances(1, next(NUMBERS))
    replies: list[Reply] = []
    site.fleet.pause_runs()
    asking = threading.Thread(target=lambda: replies.append(site.fleet.ask("/pinned", new)))
    asking.start()
    wait_until(lambda: site.fleet.runs_of(new))
    site.relay.cut()
    site.fleet.go_on()
    asking.join()
    site.relay.heal()
    assert [503] == [reply.status for reply in replies]
    wait_until(lambda: site.fleet.ask("/pinned", new).status == 200)
    assert 2 == len(site.fleet.runs_of(new))
