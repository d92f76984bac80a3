"""The cache in a real Redis and a real memcached: what is stored there, and what may be planted there."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, run, running, section, write_config
from tests.support.shared import BACKENDS, KEY, NAME, Caches, options_for, store_of
from tests.support.stores import OwnStore
from vendorsrv.cache.entries import CachedAnswer
from vendorsrv.testing.clock import ManualClock

ANSWER = b'{"role":"mail-server"}'
OTHER = b"\x02" * 32


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest) -> Iterator[OwnStore]:
    """A store that works."""
    with store_of(request.param) as store:
        yield store


@pytest.fixture
def cache_at(tmp_path: Path) -> Iterator[Caches]:
    """Builds the caches of a test."""
    with Caches(tmp_path) as caches:
        yield caches


@pytest.fixture
def wall() -> ManualClock:
    """The time of day, as the cache sees it."""
    return ManualClock(1_750_000_000.0)


def test_every_worker_gets_a_stored_answer_with_its_age(cache_at: Caches, store: OwnStore, wall: ManualClock) -> None:
    """An answer that one cache stored is returned by another one, with its age and max-age."""
    run(cache_at(store, wall=wall).set(KEY, ANSWER, 60.0))
    wall.now += 30
    assert CachedAnswer(ANSWER, 30.0, 60.0) == run(cache_at(store, wall=wall).get(KEY))


def test_a_forgotten_answer_is_a_miss(cache_at: Caches, store: OwnStore, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that one cache forgets is gone for the others; to forget what is not there is no failure."""
    run(cache_at(store).set(KEY, ANSWER, 60.0))
    for _ in range(2):
        run(cache_at(store).forget(KEY))
        assert None is run(cache_at(store).get(KEY))
    assert [] == caplog.messages


def test_an_unknown_key_is_a_miss(cache_at: Caches, store: OwnStore, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged for it."""
    assert None is run(cache_at(store).get(b"\x03" * 32))
    assert [] == caplog.messages


def test_an_entry_is_our_bytes_and_no_pickle(cache_at: Caches, store: OwnStore) -> None:
    """An entry is its format, when it was made, its max-age, a checksum and the answer."""
    run(cache_at(store).set(KEY, ANSWER, 60.0))
    value = store.take(NAME) or b""
    assert (b"vendorsrv2", 58, ANSWER) == (value[:10], len(value) - len(ANSWER), value[58:])
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(value)  # noqa: S301 - it is ours


@pytest.mark.parametrize(("expiration", "seconds"), [(None, 86_400), (700, 700)])
def test_entries_expire_in_the_store(cache_at: Caches, store: OwnStore, expiration: int | None, seconds: int) -> None:
    """The store forgets an entry after a day, or after ``backend_expiration_time``."""
    run(cache_at(store, expiration=expiration).set(KEY, ANSWER, 60.0))
    assert seconds - 60 <= store.lifetime(NAME) <= seconds


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("wrapping", [b"%s", b'{"v": 2, "ct": 1}|%s'], ids=["as it is", "as dogpile has it"])
def test_a_planted_pickle_is_a_miss(
    tmp_path: Path, cache_at: Caches, store: OwnStore, wrapping: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A pickle in the store is never loaded, and is logged once."""
    file = tmp_path / "file"
    weapon = pickle.dumps(Evil(file))
    pickle.loads(weapon)  # noqa: S301 - to see that it is loaded
    file.unlink()
    store.put(NAME, wrapping % weapon)
    cache = cache_at(store)
    assert [None, None] == [run(cache.get(KEY)), run(cache.get(KEY))]
    assert not file.exists()
    assert ["the cache holds values that are not ours or are damaged; they are not used"] == caplog.messages


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda value: b"",
    "the mark alone": lambda value: value[:10],
    "without its answer": lambda value: value[:57],
    "truncated": lambda value: value[:-1],
    "longer": lambda value: value + b" ",
    "one bit": lambda value: value[:-1] + bytes([value[-1] ^ 1]),
    "older than it says": lambda value: value[:10] + bytes(8) + value[18:],
    "of another version": lambda value: b"vendorsrv1" + value[10:],
    "foreign text": lambda value: b'{"role": "mail-server"}',
    "foreign bytes": lambda value: b"\xff\x00" * 40,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_value_is_a_miss(
    cache_at: Caches, store: OwnStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that is damaged, of another version or not ours is a miss, and the next answer replaces it."""
    cache = cache_at(store)
    run(cache.set(KEY, ANSWER, 60.0))
    store.put(NAME, DAMAGE[damage](store.take(NAME) or b""))
    assert None is run(cache.get(KEY))
    assert ["the cache holds values that are not ours or are damaged; they are not used"] == caplog.messages
    run(cache.set(KEY, ANSWER, 60.0))
    found = run(cache.get(KEY))
    assert found
    assert ANSWER == found.body


def test_an_entry_that_was_copied_to_another_key_is_a_miss(cache_at: Caches, store: OwnStore) -> None:
    """No instance gets the answer of another one."""
    cache = cache_at(store)
    run(cache.set(OTHER, ANSWER, 60.0))
    store.put(NAME, store.take("vendorsrv:2:" + "02" * 32) or b"")
    assert None is run(cache.get(KEY))


@pytest.mark.parametrize("max_age", [float("inf"), -1.0, float("nan")])
def test_a_max_age_that_cannot_be_is_a_miss(cache_at: Caches, store: OwnStore, max_age: float) -> None:
    """An entry whose max-age is negative or not finite is a miss: whoever can write to the store may plant one."""
    cache = cache_at(store)
    run(cache.set(KEY, ANSWER, max_age))
    assert None is run(cache.get(KEY))


@pytest.mark.parametrize("planted", [float("inf"), float("-inf"), float("nan"), 1e300])
def test_a_time_that_cannot_be_is_a_miss(cache_at: Caches, store: OwnStore, wall: ManualClock, planted: float) -> None:
    """An entry whose time is not finite or is in the future is a miss: whoever can write to the store may plant one."""
    cache = cache_at(store, wall=wall)
    now, wall.now = wall.now, planted
    run(cache.set(KEY, ANSWER, 60.0))
    wall.now = now
    assert None is run(cache.get(KEY))


@pytest.mark.parametrize(("back", "age"), [(3600.0, None), (5.0, None), (4.5, 0.0)])
def test_an_answer_from_the_future_is_a_miss(
    cache_at: Caches, store: OwnStore, wall: ManualClock, back: float, age: float | None
) -> None:
    """After the clock was set back, an answer is a miss; five seconds between hosts are allowed."""
    cache = cache_at(store, wall=wall)
    run(cache.set(KEY, ANSWER, 60.0))
    wall.now -= back
    found = run(cache.get(KEY))
    assert age == (found and found.age)


def test_two_servers_share_their_answers(tmp_path: Path, fake: FakeKeystone, store: OwnStore) -> None:
    """What one server has made, the other returns byte for byte, with a max-age that its age has reduced."""
    sections = section("cache", options_for(store))
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Cached", sections=sections)
    token = fake.issue("service")
    body = BODY.replace(b"web-1", store.program.encode())
    with ExitStack() as stack:
        servers = [stack.enter_context(running(config)) for _ in range(2)]
        started = time.monotonic()
        answers = [server.ask("/cached", token, body) for server in servers]
        passed = time.monotonic() - started
        runs = [getattr(server.app.registry.handlers["cached"].handler, "runs", None) for server in servers]
    assert [b'{"run":1}'] * 2 == [answer.content for answer in answers]
    assert [1, 0] == runs
    assert 60 - passed - 1 <= int(answers[1].headers["Cache-Control"].removeprefix("private, max-age=")) <= 60


def test_more_requests_than_threads_wait_for_the_store(
    cache_at: Caches, store: OwnStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred concurrent calls all succeed, and the store does not count as unavailable."""
    cache = cache_at(store)
    bodies = [b"%d" % number for number in range(100)]

    async def storm() -> list[CachedAnswer | None]:
        await asyncio.gather(*(cache.set(body * 32, body, 60.0) for body in bodies))
        return await asyncio.gather(*(cache.get(body * 32) for body in bodies))

    assert bodies == [kept and kept.body for kept in run(storm())]
    assert [] == caplog.messages
