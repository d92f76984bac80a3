"""One of all workers has the turn, on each kind of database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.pin_stores import KINDS, age, database_url, make_table, with_store
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.turns import Turn


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the table of pins."""
    with database_url(request.param, tmp_path_factory.mktemp("pins")) as created:
        make_table(created)
        yield created


def turn_of(store: PinStore, what: str) -> Turn:
    """Return the turns at something, once a minute."""
    return Turn(Pins(store, PinCipher([], allow_plain=True), 5.0), what, 60.0)


def test_one_of_many_takes_the_turn(url: str) -> None:
    """Of ten that try at once one has the turn, and the others are told to wait for up to a minute."""

    async def try_all(store: PinStore) -> list[float]:
        turn = turn_of(store, "many")
        return sorted(await asyncio.gather(*(turn.take(f"owner-{number}") for number in range(10))))

    first, *others = with_store(url, try_all)
    assert 0.0 == first
    assert all(0 < each <= 60 for each in others)


def test_a_turn_is_over_after_its_seconds(url: str) -> None:
    """The next turn is taken by one of those who try when the last one is a minute old."""

    async def try_later(store: PinStore) -> list[float]:
        turn = turn_of(store, "later")
        assert 0.0 == await turn.take("first")
        await age(store, *turn.key, claimed_at=time.time() - 61)
        return sorted(await asyncio.gather(*(turn.take(f"owner-{number}") for number in range(10))))

    first, *others = with_store(url, try_later)
    assert 0.0 == first
    assert all(0 < each <= 60 for each in others)


def test_a_turn_that_is_given_back_is_free(url: str) -> None:
    """A turn that was given back can be taken at once, and only its owner gives it back."""

    async def give_back(store: PinStore) -> list[bool]:
        turn = turn_of(store, "back")
        taken = [await turn.take("first")]
        await turn.give_back("other")
        taken.append(await turn.take("second"))
        await turn.give_back("first")
        taken.append(await turn.take("second"))
        return [each == 0.0 for each in taken]

    assert [True, False, True] == with_store(url, give_back)


def test_a_turn_of_the_future_is_over(url: str) -> None:
    """A clock that was set back makes nobody wait for the old time."""

    async def set_back(store: PinStore) -> float:
        turn = turn_of(store, "future")
        await turn.take("first")
        await age(store, *turn.key, claimed_at=time.time() + 3600)
        return await turn.take("second")

    assert 0.0 == with_store(url, set_back)
