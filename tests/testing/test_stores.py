"""Stores that fail when the test says so: the server does with them what it does with real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import pytest

from vendorsrv import Handler, OnError, VendordataRequest
from vendorsrv.testing import Server, serve


class Pinned(Handler):
    """Counts its runs; the first is pinned."""

    pin = True
    runs = 0

    async def handle(self, request: VendordataRequest) -> int:
        """Count."""
        self.runs += 1
        return self.runs


class Cached(Pinned):
    """Counts its runs; each is kept for a minute, or longer when there is no other."""

    pin = False
    cache_for = 60.0
    on_error = OnError.STALE


#: What else would end the wait for a store that hangs, and is far away.
PATIENT: Final = {"vendorsrv": {"request_timeout": 300.0}}


@pytest.fixture
def pinning() -> Iterator[Server]:
    """A server that pins."""
    with serve(Pinned) as server:
        yield server


@pytest.fixture
def caching() -> Iterator[Server]:
    """A server that caches."""
    with serve(Cached) as server:
        yield server


def test_pins_that_fail(pinning: Server) -> None:
    """While the pin store fails, every request is 503; afterwards a pinned instance has its answer."""
    assert 1 == pinning.ask().json
    pinning.pins.behaviour = "unavailable"
    assert (503, "pins_unavailable") == ((answer := pinning.ask()).status, answer.code)
    assert 503 == pinning.get("/-/ready").status
    pinning.pins.behaviour = "available"
    assert 1 == pinning.ask().json


def test_pins_that_hang() -> None:
    """A hanging pin store is 503 after the time for one statement, long before the request's."""
    with serve(Pinned, sections=PATIENT) as pinning:
        pinning.pins.behaviour = "hanging"
        started = time.monotonic()
        assert (503, "pins_unavailable") == ((answer := pinning.ask()).status, answer.code)
        assert 1.4 < time.monotonic() - started < 60


def test_pins_that_are_lost(pinning: Server) -> None:
    """When a pin is lost the handler runs again, as after a restore of the database."""
    pinning.pins.behaviour = "losing"
    assert [1, 2, 3] == [pinning.ask().json for _ in range(3)]
    pinning.pins.behaviour = "available"
    assert [4, 4] == [pinning.ask().json for _ in range(2)]


def test_a_cache_that_fails(caching: Server) -> None:
    """While the cache fails the server works without it."""
    assert [1, 1] == [caching.ask().json for _ in range(2)]
    caching.cache.behaviour = "unavailable"
    assert [2, 3] == [caching.ask().json for _ in range(2)]
    caching.cache.behaviour = "available"
    assert 1 == caching.ask().json


def test_a_cache_that_hangs() -> None:
    """A hanging cache costs its timeout for each read and write, and the server works without it."""
    with serve(Cached, sections=PATIENT) as caching:
        caching.cache.behaviour = "hanging"
        started = time.monotonic()
        assert 1 == caching.ask().json
        assert 0.9 < time.monotonic() - started < 60


def test_a_cache_that_loses(caching: Server) -> None:
    """A cache that loses writes keeps what it had before."""
    caching.cache.behaviour = "losing"
    assert [1, 2] == [caching.ask().json for _ in range(2)]


def test_an_unknown_behaviour_is_refused(pinning: Server) -> None:
    """An unknown behaviour is a ValueError."""
    with pytest.raises(ValueError, match=r"^'away' is not one of available, unavailable, hanging, losing$"):
        pinning.pins.behaviour = "away"
