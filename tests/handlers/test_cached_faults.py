"""A shared cache that fails under a real server with two workers: every request is answered in time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

import pytest

from tests.support.fleet import Fleet, Reply, instances
from tests.support.serving import section
from tests.support.shared import BACKENDS, options_for, store_of
from tests.support.stores import OwnStore
from tests.support.waiting import wait_until

NUMBERS: Final = count(1000, 100)


class Site(NamedTuple):
    """A server whose workers share a cache."""

    fleet: Fleet
    store: OwnStore

    def ask(self, asked: list[str]) -> list[Reply]:
        """Ask about each instance six times."""
        return self.fleet.ask_all(asked * 6, "/shared")

    def shares(self) -> bool:
        """Return whether both workers return the same answer for a new instance."""
        (new,) = instances(1, next(NUMBERS))
        first = self.fleet.ask("/shared", new)
        return {first.body} == {reply.body for reply in self.ask([new])}

    def is_used(self) -> bool:
        """Return whether both workers use the cache, which may not be so after another test."""
        return all(self.shares() for _ in range(5))


@pytest.fixture(scope="module", params=BACKENDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for each kind of store; each test heals what it breaks."""
    with store_of(request.param) as store:
        sections = section("cache", options_for(store))
        with Fleet(tmp_path_factory.mktemp("site"), "Shared", sections, workers=2) as fleet:
            yield Site(fleet, store)


def test_workers_share_cached_answers(site: Site) -> None:
    """An instance gets the same answer from each worker."""
    wait_until(site.is_used)
    assert site.shares()


def test_a_restarted_cache_is_used_at_once(site: Site) -> None:
    """Workers share answers right after the store was restarted."""
    wait_until(site.is_used)
    site.store.restart()
    assert site.shares()


@pytest.mark.parametrize("fault", ["stopped", "hung"])
def test_every_request_is_answered_without_the_cache(site: Site, fault: str) -> None:
    """While the store is stopped or hangs, each worker runs the handler; afterwards they share again."""
    (site.store.stop if fault == "stopped" else site.store.pause)()
    replies = site.ask(instances(5, next(NUMBERS)))
    (site.store.start if fault == "stopped" else site.store.resume)()
    assert {200} == {reply.status for reply in replies}
    assert 5.0 > max(reply.seconds for reply in replies)
    wait_until(site.shares)
