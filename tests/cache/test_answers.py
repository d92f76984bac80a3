"""The cache in the process, the choice of a cache, and Cache-Control on responses."""

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
from vendorsrv.cache.answers import MemoryCache, SharedCache, build_cache
from vendorsrv.cache.entries import CachedAnswer

KEYS = [bytes([number]) * 32 for number in range(4)]
BODY_200 = b"x" * 200


def stored(cache: MemoryCache, bodies: list[bytes]) -> list[bytes | None]:
    """Store some answers in turn, and return what the cache has afterwards."""
    for key, body in zip(KEYS, bodies, strict=False):
        run(cache.set(key, body, 60.0))
    found = [cache.peek(key) for key in KEYS[: len(bodies)]]
    return [kept.body if kept else None for kept in found]


def test_the_oldest_answers_are_evicted_first() -> None:
    """Three answers of 480 bytes, their overhead included, do not fit into 1,060: the oldest is gone."""
    assert [None, BODY_200, BODY_200] == stored(MemoryCache(1060), [BODY_200] * 3)


def test_an_answer_that_is_stored_again_is_new() -> None:
    """An answer that was stored again is not the next to be evicted."""
    cache = MemoryCache(1060)
    stored(cache, [BODY_200, BODY_200])
    run(cache.set(KEYS[0], b"again", 60.0))
    run(cache.set(KEYS[2], BODY_200, 60.0))
    assert [b"again", None] == [kept and kept.body for kept in map(cache.peek, KEYS[:2])]


def test_an_answer_larger_than_the_cache_is_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    """It evicts no other answer, and is logged."""
    assert [BODY_200, None] == stored(MemoryCache(1060), [BODY_200, b"x" * 800])
    assert ["an answer of 800 bytes is too large for the cache"] == caplog.messages


def test_an_answer_has_its_age_and_is_returned_however_old(clock: Clock) -> None:
    """An answer of 25 hours is returned with its age."""
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
    """The options of oslo.cache select the cache; building it does not connect to the store."""
    sentinels = {"redis_sentinels": "127.0.0.1:9", "redis_sentinel_service_name": "x"}
    assert cache is type(cache_of(tmp_path, enabled=enabled, backend=backend, **sentinels))


@pytest.mark.parametrize(
    "backend",
    [
        *("dogpile.cache.memcached", "dogpile.cache.pylibmc", "dogpile.cache.bmemcached", "dogpile.cache.dbm"),
        *("oslo_cache.memcache_pool", "oslo_cache.etcd3gw", "oslo_cache.dict"),
    ],
)
def test_a_backend_that_unpickles_is_refused(tmp_path: Path, backend: str) -> None:
    """A backend that would unpickle stored values is an error: whoever can write to the store could run code here."""
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
def test_a_wrong_option_of_the_cache_is_an_error(tmp_path: Path, options: dict[str, object], message: str) -> None:
    """Building the cache names the option that is wrong."""
    with pytest.raises(ConfigError) as refused:
        cache_of(tmp_path, enabled=True, **options)
    assert message == str(refused.value)


@pytest.mark.parametrize(
    ("backend", "module", "extra"),
    [("dogpile.cache.redis", "redis", "redis"), ("dogpile.cache.pymemcache", "pymemcache", "memcached")],
)
def test_a_missing_driver_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: str, extra: str
) -> None:
    """The error says which extra installs the driver."""
    for name in (module, f"{module}.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError) as refused:
        cache_of(tmp_path, enabled=True, backend=backend)
    assert f"[cache] backend: {backend} needs a driver: pip install 'vendorsrv[{extra}]'" == str(refused.value)


def test_what_a_driver_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what the driver cannot import, when the driver itself is there."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "pymemcache"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymemcache.client.base", None)
    with pytest.raises(ConfigError) as refused:
        cache_of(tmp_path, enabled=True, backend="dogpile.cache.pymemcache")
    assert (
        "[cache] backend: dogpile.cache.pymemcache needs pymemcache.client.base, which its driver pymemcache imports: "
        "pip install 'vendorsrv[memcached]'"
    ) == str(refused.value)


class Caching:
    """A server with a handler that caches for a minute, and its clock."""

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
def caching(tmp_path: Path, fake: FakeKeystone, clock: Clock) -> Iterator[Caching]:
    """A server of the test's own."""
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Cached")
    with running(config, clock) as server:
        yield Caching(server, clock, fake.issue("service"))


def said(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return an answer and its Cache-Control."""
    return response.content, response.headers.get("Cache-Control")


def test_a_cached_answer_says_for_how_many_more_seconds_it_is_fresh(caching: Caching) -> None:
    """Its max-age is what its age in the cache leaves of cache_for; after that the handler runs again."""
    assert (b'{"run":1}', "private, max-age=60") == said(caching.ask())
    caching.clock.now += 20.5
    assert (b'{"run":1}', "private, max-age=39") == said(caching.ask())
    caching.clock.now += 39.5
    assert (b'{"run":2}', "private, max-age=60") == said(caching.ask())


def test_requests_that_differ_in_order_and_spacing_share_an_answer(caching: Caching) -> None:
    """The order and the spacing of the members do not matter."""
    body = BODY.replace(b'"hostname": "web-1", ', b"").replace(b"{", b'{ "hostname":"web-1",', 1)
    assert [b'{"run":1}'] * 2 == [caching.ask().content, caching.ask(body).content]


@pytest.mark.parametrize("change", [(b"web-1", b"web-2"), (b"Mail-Admin", b"x"), (b": {}", b': {"a": "b"}')])
def test_a_request_that_differs_in_a_member_has_an_answer_of_its_own(
    caching: Caching, change: tuple[bytes, bytes]
) -> None:
    """Another hostname, other roles or other metadata run the handler again."""
    assert [b'{"run":1}', b'{"run":2}'] == [caching.ask().content, caching.ask(BODY.replace(*change)).content]


def test_an_answer_that_is_not_cached_is_no_store(tmp_path: Path, fake: FakeKeystone) -> None:
    """With ``cache_for = 0`` from the operator, each request runs the handler, and its answer is no-store."""
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
