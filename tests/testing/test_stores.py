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
    """503, for an instance that has a pin as well; afterwards it has the same."""
    assert 1 == pinning.ask().json
    pinning.pins.behaviour = "failing"
    assert (503, "pins_unavailable") == ((answer := pinning.ask()).status, answer.code)
    assert 503 == pinning.get("/-/ready").status
    pinning.pins.behaviour = "well"
    assert 1 == pinning.ask().json


def test_pins_that_hang() -> None:
    """503 after the time for one statement, long before that for a request."""
    with serve(Pinned, sections=PATIENT) as pinning:
        pinning.pins.behaviour = "hanging"
        started = time.monotonic()
        assert (503, "pins_unavailable") == ((answer := pinning.ask()).status, answer.code)
        assert 1.4 < time.monotonic() - started < 60


def test_pins_that_are_lost(pinning: Server) -> None:
    """The handler is run again, as after a database was restored."""
    pinning.pins.behaviour = "losing"
    assert [1, 2, 3] == [pinning.ask().json for _ in range(3)]
    pinning.pins.behaviour = "well"
    assert [4, 4] == [pinning.ask().json for _ in range(2)]


def test_a_cache_that_fails(caching: Server) -> None:
    """As if it were empty, while it is away."""
    assert [1, 1] == [caching.ask().json for _ in range(2)]
    caching.cache.behaviour = "failing"
    assert [2, 3] == [caching.ask().json for _ in range(2)]
    caching.cache.behaviour = "well"
    assert 1 == caching.ask().json


def test_a_cache_that_hangs() -> None:
    """As if it were empty, and it costs the time for which the server is patient: to look, and to keep."""
    with serve(Cached, sections=PATIENT) as caching:
        caching.cache.behaviour = "hanging"
        started = time.monotonic()
        assert 1 == caching.ask().json
        assert 0.9 < time.monotonic() - started < 60


def test_a_cache_that_loses(caching: Server) -> None:
    """What is stored is gone; what was there before is not."""
    caching.cache.behaviour = "losing"
    assert [1, 2] == [caching.ask().json for _ in range(2)]


def test_a_behaviour_that_there_is_not(pinning: Server) -> None:
    """It is refused, instead of being no failure at all."""
    with pytest.raises(ValueError, match=r"^'away' is none of well, failing, hanging, losing$"):
        pinning.pins.behaviour = "away"
