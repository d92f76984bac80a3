"""Answers kept for a time: in the process, and what HTTP says of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Clock
from tests.support.handlers.keeping import Cached
from tests.support.serving import BODY, Server, run, running, section, write_config
from vendorsrv import ConfigError, Settings
from vendorsrv.cache.answers import CachedAnswer, MemoryCache, SharedCache, build_cache

KEYS = [bytes([number]) * 32 for number in range(4)]
BODY_200 = b"x" * 200


def stored(cache: MemoryCache, bodies: list[bytes]) -> list[bytes | None]:
    """Keep some answers in turn, and say what is there afterwards."""
    for key, body in zip(KEYS, bodies, strict=False):
        run(cache.set(key, body, 60.0))
    found = [cache.peek(key) for key in KEYS[: len(bodies)]]
    return [kept.body if kept else None for kept in found]


def test_the_oldest_answers_go_first() -> None:
    """Three answers of 480 bytes, their overhead included, do not fit into 1,060: the oldest is gone."""
    assert [None, BODY_200, BODY_200] == stored(MemoryCache(1060), [BODY_200] * 3)


def test_an_answer_that_is_kept_again_is_new() -> None:
    """It is not the next to go."""
    cache = MemoryCache(1060)
    stored(cache, [BODY_200, BODY_200])
    run(cache.set(KEYS[0], b"again", 60.0))
    run(cache.set(KEYS[2], BODY_200, 60.0))
    assert [b"again", None] == [kept and kept.body for kept in map(cache.peek, KEYS[:2])]


def test_an_answer_larger_than_the_cache_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does it throw out the others."""
    assert [BODY_200, None] == stored(MemoryCache(1060), [BODY_200, b"x" * 800])
    assert ["an answer of 800 bytes is too large for the cache"] == caplog.messages


def test_an_answer_ages_by_the_clock(clock: Clock) -> None:
    """However old it is, it is given."""
    cache = MemoryCache(1000, clock)
    run(cache.set(KEYS[0], b"{}", 60.0))
    clock.now += 90_000
    assert CachedAnswer(b"{}", 90_000.0, 60.0) == run(cache.get(KEYS[0]))


def cache_of(directory: Path, **options: object) -> object:
    """Build the cache of a ``[cache]`` section."""
    config = write_config(directory, sections=section("cache", options))
    return build_cache(Settings.from_file(config).conf, 1000)


@pytest.mark.parametrize(
    ("enabled", "backend", "cache"),
    [
        (False, "dogpile.cache.redis", MemoryCache),
        (False, "dogpile.cache.memcached", MemoryCache),
        (True, None, MemoryCache),
        (True, "dogpile.cache.memory", MemoryCache),
        (True, "dogpile.cache.redis", SharedCache),
        (True, "dogpile.cache.redis_sentinel", SharedCache),
        (True, "dogpile.cache.pymemcache", SharedCache),
    ],
)
def test_the_cache_is_in_the_process_unless_a_store_is_enabled(
    tmp_path: Path, enabled: bool, backend: str | None, cache: type
) -> None:
    """With the options of oslo.cache; the store itself is not needed yet."""
    sentinels = {"redis_sentinels": "127.0.0.1:9", "redis_sentinel_service_name": "x"}
    assert cache is type(cache_of(tmp_path, enabled=enabled, backend=backend, **sentinels))


@pytest.mark.parametrize(
    "backend",
    [
        *("dogpile.cache.memcached", "dogpile.cache.pylibmc", "dogpile.cache.bmemcached", "dogpile.cache.dbm"),
        *("oslo_cache.memcache_pool", "oslo_cache.etcd3gw", "oslo_cache.dict"),
    ],
)
def test_what_would_unpickle_is_refused(tmp_path: Path, backend: str) -> None:
    """Whoever can write to the store could run code in the server."""
    with pytest.raises(ConfigError) as refused:
        cache_of(tmp_path, enabled=True, backend=backend)
    assert str(refused.value) == (
        f"[cache] backend: {backend} unpickles stored values; use one of dogpile.cache.redis, "
        "dogpile.cache.redis_sentinel, dogpile.cache.pymemcache"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "no.such"}, "[cache] backend: not a valid value"),
        ({"expiration_time": "soon"}, "[cache] expiration_time: not a valid value"),
        (
            {"backend": "dogpile.cache.redis", "backend_expiration_time": 60},
            "[cache] backend_expiration_time should not be smaller than expiration_time.",
        ),
        (
            {"backend": "dogpile.cache.pymemcache", "tls_enabled": True, "tls_cafile": "/nowhere"},
            "[cache] [Errno 2] No such file or directory",
        ),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    """At start, and not when the first answer is kept."""
    with pytest.raises(ConfigError) as refused:
        cache_of(tmp_path, enabled=True, **options)
    assert message == str(refused.value)


@pytest.mark.parametrize(
    ("backend", "module", "extra"),
    [("dogpile.cache.redis", "redis", "redis"), ("dogpile.cache.pymemcache", "pymemcache", "memcached")],
)
def test_a_missing_driver_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: str, extra: str
) -> None:
    """The drivers are extras."""
    for name in (module, f"{module}.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError) as refused:
        cache_of(tmp_path, enabled=True, backend=backend)
    assert f"[cache] backend: {backend} needs a driver: pip install 'vendorsrv[{extra}]'" == str(refused.value)


class Kitchen:
    """A server with a handler that is kept for a minute, and the clock that it goes by."""

    def __init__(self, server: Server, clock: Clock, token: str) -> None:
        self.server = server
        self.clock = clock
        self.token = token
        self.handler = server.app.registry.handlers["cached"].handler
        assert isinstance(self.handler, Cached)

    def ask(self, body: bytes = BODY) -> httpx.Response:
        """Ask for the answer."""
        return self.server.ask("/cached", self.token, body)


@pytest.fixture
def kitchen(tmp_path: Path, fake: FakeKeystone, clock: Clock) -> Iterator[Kitchen]:
    """A server of the test's own."""
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Cached")
    with running(config, clock) as server:
        yield Kitchen(server, clock, fake.issue("service"))


def said(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return an answer and its Cache-Control."""
    return response.content, response.headers.get("Cache-Control")


def test_a_cached_answer_says_for_how_many_more_seconds_it_is_fresh(kitchen: Kitchen) -> None:
    """Its max-age is what its age in the cache leaves of cache_for; after that the handler runs again."""
    assert (b'{"run":1}', "private, max-age=60") == said(kitchen.ask())
    kitchen.clock.now += 20.5
    assert (b'{"run":1}', "private, max-age=39") == said(kitchen.ask())
    kitchen.clock.now += 39.5
    assert (b'{"run":2}', "private, max-age=60") == said(kitchen.ask())


def test_the_same_request_in_another_order_is_the_same(kitchen: Kitchen) -> None:
    """Order and spacing of the members say nothing."""
    body = BODY.replace(b'"hostname": "web-1", ', b"").replace(b"{", b'{ "hostname":"web-1",', 1)
    assert [b'{"run":1}'] * 2 == [kitchen.ask().content, kitchen.ask(body).content]


@pytest.mark.parametrize("change", [(b"web-1", b"web-2"), (b"Mail-Admin", b"x"), (b": {}", b': {"a": "b"}')])
def test_another_request_is_another_answer(kitchen: Kitchen, change: tuple[bytes, bytes]) -> None:
    """Whatever differs."""
    assert [b'{"run":1}', b'{"run":2}'] == [kitchen.ask().content, kitchen.ask(BODY.replace(*change)).content]


def test_what_is_not_kept_says_so(tmp_path: Path, fake: FakeKeystone) -> None:
    """The operator has the last word: here, that nothing is kept."""
    sections = section("handler:cached", {"cache_for": 0})
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Cached", sections=sections)
    with running(config) as server:
        token = fake.issue("service")
        answers = [said(server.ask("/cached", token)) for _ in range(2)]
    assert [(b'{"run":1}', "no-store"), (b'{"run":2}', "no-store")] == answers


def test_a_fan_out_is_fresh_for_as_long_as_all_its_answers_are(
    tmp_path: Path, fake: FakeKeystone, clock: Clock
) -> None:
    """Its max-age is the smallest of its answers', and it is no-store when one of them is."""
    handlers = "tests.support.handlers.keeping:Cached, tests.support.handlers.keeping:Stale"
    sections = section("handler:stale", {"cache_for": 40})
    token = fake.issue("service")
    with running(write_config(tmp_path, fake, handlers=handlers, sections=sections), clock) as server:
        server.ask("/cached", token)
        clock.now += 10
        fresh = said(server.ask("/", token))
    handlers += ", tests.support.handlers.keeping:Empty"
    with running(write_config(tmp_path, fake, handlers=handlers, sections=sections), clock) as server:
        mixed = said(server.ask("/", token))
    assert (b'{"cached":{"run":1},"stale":{"run":1}}', "private, max-age=40") == fresh
    assert (b'{"cached":{"run":1},"stale":{"run":1},"empty":{"run":1}}', "no-store") == mixed
