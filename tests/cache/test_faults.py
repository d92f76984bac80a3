"""A cache whose real store fails: a request waits half a second at most, and gets a miss."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis

from tests.support.fixtures import Clock
from tests.support.relay import Relay
from tests.support.serving import run
from tests.support.shared import BACKENDS, KEY, NAME, Caches, store_of
from tests.support.stores import OwnMemcached, OwnRedis, OwnStore
from tests.support.waiting import wait_until
from vendorsrv.cache.answers import STORE_TIMEOUT, SharedCache

ANSWER = b'{"role":"mail-server"}'
KEYS = [bytes([number]) * 32 for number in range(1, 60)]


class Bench:
    """A cache whose store is behind a relay, and its clock.

    :param timeout: seconds that it waits for the store: a worker's, or more in tests that are not about time.
    """

    def __init__(
        self, store: OwnStore, relay: Relay, clock: Clock, caches: Caches, timeout: float = STORE_TIMEOUT
    ) -> None:
        self.store = store
        self.relay = relay
        self.clock = clock
        self.cache: SharedCache = caches(store, relay.port, clock=clock, timeout=timeout)

    def get(self, key: bytes = KEY) -> tuple[bytes | None, float]:
        """Return an answer, and the seconds that it took."""
        started = time.monotonic()
        found = run(self.cache.get(key))
        return found.body if found else None, time.monotonic() - started

    def keep(self, key: bytes = KEY, answer: bytes = ANSWER) -> float:
        """Store an answer, and return the seconds that it took."""
        started = time.monotonic()
        run(self.cache.set(key, answer, 60.0))
        return time.monotonic() - started

    def recovers(self) -> bool:
        """Return whether answers are stored and found, five seconds later."""
        self.clock.now += 5.0
        self.keep()
        return self.get()[0] == ANSWER


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Bench]:
    """A cache that works and has one answer."""
    with store_of(request.param) as store, Relay("127.0.0.1", store.port) as relay, Caches(tmp_path) as caches:
        bench = Bench(store, relay, clock, caches)
        bench.keep()
        if bench.get()[0] != ANSWER:  # a busy machine: the store took its first breath for longer than the timeout
            wait_until(bench.recovers)
        yield bench


@pytest.fixture(params=BACKENDS)
def patient(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Bench]:
    """A cache that has one answer, and would wait for the store for ten seconds."""
    with store_of(request.param) as store, Relay("127.0.0.1", store.port) as relay, Caches(tmp_path) as caches:
        bench = Bench(store, relay, clock, caches, timeout=10.0)
        bench.keep()
        yield bench


def complaints(caplog: pytest.LogCaptureFixture) -> int:
    """Count the lines that say that the cache is unavailable."""
    wanted = "the cache is unavailable ("
    return sum(each.startswith(wanted) and each.endswith("; retrying in 5 s") for each in caplog.messages)


def test_a_stopped_store_is_a_miss_and_is_not_called_for_a_while(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A stopped store is called once, then not for five seconds; after it is back, it is used again."""
    bench.store.stop()
    found, seconds = bench.get()
    assert (None, True) == (found, seconds < 5.0)
    taken = bench.relay.taken
    assert [None] * 4 == [bench.get()[0] for _ in range(4)]
    assert taken == bench.relay.taken
    assert 1 == complaints(caplog)
    bench.store.start()
    assert bench.recovers()


def test_a_restarted_store_is_used_at_once(patient: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Connections from before a restart do not make the store unavailable."""
    patient.store.restart()
    assert None is patient.get()[0]
    patient.keep()
    assert ANSWER == patient.get()[0]
    assert 0 == complaints(caplog)


@pytest.mark.parametrize("way", ["paused", "silent"])
def test_a_store_that_hangs_costs_half_a_second_once(bench: Bench, way: str, caplog: pytest.LogCaptureFixture) -> None:
    """The first call to a store that hangs waits half a second; the next ones do not wait."""
    (bench.store.pause if way == "paused" else bench.relay.hang)()
    first, *others = [bench.get() for _ in range(5)]
    assert None is first[0]
    assert 0.4 < first[1] < 5.0
    assert 0.4 > max(bench.keep(), *(seconds for _, seconds in others))  # whoever asks waits half a second
    assert 1 == complaints(caplog)
    (bench.store.resume if way == "paused" else bench.relay.heal)()
    assert bench.recovers()


def test_concurrent_calls_to_a_store_that_hangs_are_one_log_line(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Five calls that time out together are logged once."""
    bench.relay.hang()

    async def get_all() -> list[object]:
        return await asyncio.gather(*(bench.cache.get(key) for key in KEYS[:5]))

    assert [None] * 5 == run(get_all())
    assert 1 == complaints(caplog)
    bench.relay.heal()


def test_a_store_that_hung_is_used_again(bench: Bench) -> None:
    """After the hung connections are cut, answers are stored and found again."""
    bench.relay.hang()
    for _ in range(3):
        bench.get()
        bench.clock.now += 5.0
    bench.relay.cut()
    bench.relay.heal()
    assert bench.recovers()


@pytest.mark.parametrize("patient", ["memcached"], indirect=True)
def test_a_connection_in_use_is_closed_after_the_cache_was(patient: Bench) -> None:
    """A call that outlives the cache closes its connection when it returns."""
    patient.relay.hang()
    before = patient.relay.asked
    asking = threading.Thread(target=patient.cache.store.get, args=(NAME,))
    asking.start()
    wait_until(lambda: patient.relay.asked > before)
    patient.cache.close()
    patient.relay.heal()
    asking.join()
    wait_until(lambda: not patient.relay.connections)


def test_a_store_within_the_timeout_is_waited_for(patient: Bench) -> None:
    """A slow answer within the cache's timeout is returned."""
    patient.relay.slow(0.05)
    found, seconds = patient.get()
    assert (ANSWER, True) == (found, seconds >= 0.1)


def test_a_store_that_overruns_the_timeout_is_a_miss(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """After half a second a slow store is a miss, and counts as unavailable."""
    bench.relay.slow(0.6)
    found, seconds = bench.get()
    assert None is found
    assert 0.4 < seconds < 5.0
    assert 1 == complaints(caplog)
    bench.relay.heal()
    assert bench.recovers()


def test_a_store_that_flaps_gives_the_answer_or_a_miss(bench: Bench) -> None:
    """No call returns anything else or takes long, and afterwards the store is used again."""
    bench.relay.flap(0.03)
    answers = []
    for _ in range(30):
        bench.clock.now += 5.0
        answers.append(bench.get())
    bench.relay.heal()
    assert {None, ANSWER} >= {found for found, _ in answers}
    assert 5.0 > max(seconds for _, seconds in answers)
    assert bench.recovers()


class Silent(BaseHTTPRequestHandler):
    """Takes everything for HTTP, and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_something_else_at_its_address_is_a_miss(
    tmp_path: Path, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A web server, say, which complains in HTML."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as impostor, Caches(tmp_path) as caches:
        threading.Thread(target=impostor.serve_forever, args=(0.02,)).start()
        cache = caches(store_of(backend), impostor.server_port, timeout=STORE_TIMEOUT)
        assert None is run(cache.get(KEY))
        impostor.shutdown()
    assert 1 == complaints(caplog)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_full_store_is_still_read(
    tmp_path: Path, clock: Clock, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that refuses new answers returns those it has; the refusal is logged once."""
    answer = b"x" * 100_000
    full = OwnRedis() if backend == "redis" else OwnMemcached(evicts=False)
    with full as store, Relay("127.0.0.1", store.port) as relay, Caches(tmp_path) as caches:
        bench = Bench(store, relay, clock, caches, timeout=10.0)
        bench.keep(KEYS[0], answer)
        if isinstance(store, OwnRedis):
            store.allow(memory=1)
        for key in KEYS[1:]:
            bench.keep(key, answer)
        assert [answer, None] == [bench.get(KEYS[0])[0], bench.get(KEYS[-1])[0]]
    refusal = {"redis": "OutOfMemoryError", "memcached": "MemcacheServerError"}[backend]
    assert [f"the cache refuses calls ({refusal})"] == caplog.messages


def test_one_of_two_memcached_servers_takes_over(tmp_path: Path, clock: Clock) -> None:
    """What the stopped server had is a miss, and is stored in the other one."""
    with OwnMemcached() as store, OwnMemcached() as other, Caches(tmp_path) as caches:
        cache = caches(store, second=other.port, clock=clock)
        for key in KEYS[:20]:
            run(cache.set(key, ANSWER, 60.0))
        other.stop()
        before = [run(cache.get(key)) for key in KEYS[:20]]
        for key in KEYS[:20]:
            run(cache.set(key, ANSWER, 60.0))
        after = [run(cache.get(key)) for key in KEYS[:20]]
    assert 0 < before.count(None) < 20
    assert 0 == after.count(None)


def test_an_answer_that_is_too_large_for_memcached_is_not_stored(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal is logged, and other answers are stored."""
    with OwnMemcached() as store, Relay("127.0.0.1", store.port) as relay, Caches(tmp_path) as caches:
        bench = Bench(store, relay, clock, caches, timeout=10.0)
        bench.keep(KEYS[1], b"x" * 2**20)
        bench.keep()
        assert (None, ANSWER) == (bench.get(KEYS[1])[0], bench.get()[0])
    assert ["the cache refuses calls (MemcacheServerError)"] == caplog.messages


def test_a_value_of_another_type_is_a_miss(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A Redis list under an answer's name is a miss, and the next answer replaces it."""
    with OwnRedis() as store, Relay("127.0.0.1", store.port) as relay, Caches(tmp_path) as caches:
        bench = Bench(store, relay, clock, caches, timeout=10.0)
        with redis.Redis(port=store.port) as client:
            client.delete(NAME)
            client.rpush(NAME, "item")
        assert None is bench.get()[0]
        bench.keep()
        assert ANSWER == bench.get()[0]
    assert ["the cache refuses calls (ResponseError)"] == caplog.messages
