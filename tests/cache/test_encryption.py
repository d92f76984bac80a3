"""The shared cache with keys, in a real Redis and a real memcached to which others can write as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import scraping
from tests.support.checking import KEY as FERNET_KEY
from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, run, running, section, write_config
from tests.support.shared import BACKENDS, KEY, NAME, Caches, options_for, store_of
from tests.support.stores import OwnStore
from vendorsrv.cache.answers import SharedCache
from vendorsrv.cache.entries import CachedAnswer, Entries

ANSWER = b'{"role":"mail-server"}'
FORGED = b'{"role":"root"}'
OLD, NEW, FOREIGN = (bytes([number]) * 32 for number in (10, 11, 12))
REJECTED = "the cache holds values that are not ours or are damaged; they are not used"


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


def found_in(cache: SharedCache) -> bytes | None:
    """Return the answer that a cache has."""
    found = run(cache.get(KEY))
    return found.body if found else None


def test_an_entry_shows_nothing_of_its_answer(cache_at: Caches, store: OwnStore) -> None:
    """With a key, an entry is its format, its times, a nonce, and what only the key can read."""
    cache = cache_at(store, keys=[NEW])
    values = []
    for _ in range(2):
        run(cache.set(KEY, ANSWER, 60.0))
        values.append(store.take(NAME) or b"")
    assert [b"vendorsrv3"] * 2 == [value[:10] for value in values]
    assert [26 + 12 + len(ANSWER) + 16] * 2 == [len(value) for value in values]
    assert [False] * 2 == [b"mail" in value for value in values]
    assert values[0][26:] != values[1][26:]


def test_every_worker_with_the_key_gets_an_answer(cache_at: Caches, store: OwnStore) -> None:
    """An answer that one cache encrypted is returned by another with the same key."""
    run(cache_at(store, keys=[NEW], wall=lambda: 1_750_000_000.0).set(KEY, ANSWER, 60.0))
    later = cache_at(store, keys=[NEW], wall=lambda: 1_750_000_030.0)
    assert CachedAnswer(ANSWER, 30.0, 60.0) == run(later.get(KEY))


@pytest.mark.parametrize(
    ("written", "read", "found"),
    [
        ([OLD], [OLD, NEW], ANSWER),
        ([OLD, NEW], [NEW, OLD], ANSWER),
        ([NEW, OLD], [OLD, NEW], ANSWER),
        ([NEW, OLD], [NEW], ANSWER),
        ([OLD], [NEW], None),
        ([NEW], [], None),
        ([], [NEW], None),
    ],
)
def test_the_first_key_encrypts_and_any_key_decrypts(
    cache_at: Caches, store: OwnStore, written: list[bytes], read: list[bytes], found: bytes | None
) -> None:
    """In each step of a rotation, both workers find the answers of the other; without its key an answer is a miss."""
    run(cache_at(store, keys=written).set(KEY, ANSWER, 60.0))
    assert found == found_in(cache_at(store, keys=read))


FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "without a key": lambda _: Entries().pack(KEY, FORGED, time.time(), 60.0),
    "with another key": lambda _: Entries([FOREIGN]).pack(KEY, FORGED, time.time(), 60.0),
    "of another place": lambda _: Entries([NEW]).pack(b"\x02" * 32, FORGED, time.time(), 60.0),
    "named as an encrypted one": lambda _: b"vendorsrv3" + Entries().pack(KEY, FORGED, time.time(), 60.0)[10:],
    "named as a plain one": lambda value: b"vendorsrv2" + value[10:],
    "fresh for longer": lambda value: value[:18] + b"\x7f" + value[19:],
    "made later": lambda value: value[:17] + bytes([value[17] ^ 1]) + value[18:],
    "another nonce": lambda value: value[:26] + bytes(12) + value[38:],
    "one bit": lambda value: value[:-1] + bytes([value[-1] ^ 1]),
    "longer": lambda value: value + b" ",
    "shorter": lambda value: value[:-1],
    "without an answer": lambda value: value[:38],
    "without a whole nonce": lambda value: value[:30],
    "the times alone": lambda value: value[:26],
    "the format alone": lambda value: value[:10],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_entry_is_a_miss(
    cache_at: Caches, store: OwnStore, forgery: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry that somebody without the key wrote, moved or changed is a miss, and the next answer replaces it."""
    cache = cache_at(store, keys=[NEW, OLD])
    run(cache.set(KEY, ANSWER, 60.0))
    store.put(NAME, FORGERIES[forgery](store.take(NAME) or b""))
    assert None is found_in(cache)
    assert [REJECTED] == caplog.messages
    run(cache.set(KEY, ANSWER, 60.0))
    assert ANSWER == found_in(cache)


def test_a_server_with_keys_runs_the_handler_in_place_of_a_forged_answer(
    tmp_path: Path, fake: FakeKeystone, store: OwnStore
) -> None:
    """Nova gets what the handler returns and no error; the metrics count the forged value, and no log quotes it."""
    sections = section("cache", options_for(store)) + section("pins", {"encryption_keys": FERNET_KEY})
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Cached", sections=sections)
    body = BODY.replace(b"web-1", b"forged-" + store.program.encode())
    before = store.names()
    with running(config) as server:
        token = fake.issue("service")
        answers = [server.ask("/cached", token, body).content]
        (name,) = store.names() - before
        place = bytes.fromhex(name.removeprefix("vendorsrv:2:"))
        answers.append(server.ask("/cached", token, body).content)
        store.put(name, Entries().pack(place, FORGED, time.time(), 60.0))
        answers.append(server.ask("/cached", token, body).content)
        counted = scraping.scrape(server.admin).get("vendorsrv_cache_rejected_total")
    assert [b'{"run":1}', b'{"run":1}', b'{"run":2}'] == answers
    assert 1.0 == counted
