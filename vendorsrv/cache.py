"""Answers kept for a time: in this process, or in the memcached or Redis that ``[cache]`` names."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol

from cachetools import FIFOCache
from dogpile.cache.api import NO_VALUE
from dogpile.cache.region import CacheRegion, make_region
from oslo_cache import core as oslo_cache
from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.settings import Problem
from vendorsrv.threads import NoThreadFree, Threads

LOG = logging.getLogger(__name__)

#: Backends that hand out the stored bytes. The others of dogpile and oslo.cache unpickle what they find, and so let
#: everybody who can write to the store run code here.
DRIVERS: Final = {
    "dogpile.cache.redis": ("redis.exceptions", "RedisError", "redis"),
    "dogpile.cache.redis_sentinel": ("redis.exceptions", "RedisError", "redis"),
    "dogpile.cache.pymemcache": ("pymemcache.exceptions", "MemcacheError", "memcached"),
}
SHARED: Final = tuple(DRIVERS)
IN_PROCESS: Final = ("dogpile.cache.null", "dogpile.cache.memory")
#: Seconds that asking the store may cost a request, and for which a store that failed is not asked.
STORE_TIMEOUT: Final = 0.5
STORE_REST: Final = 5.0
STORE_THREADS: Final = 16
#: Seconds after which a store may forget, unless [cache] backend_expiration_time says otherwise.
STORE_FOR: Final = 86_400
#: Seconds by which the clock of the host that stored an answer may be ahead of ours.
CLOCK_SKEW: Final = 5.0

MAGIC: Final = b"vendorsrv1"
STAMP: Final = struct.Struct(">d")
DIGEST_SIZE: Final = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer from a cache: its bytes, and the seconds since they were made."""

    body: bytes
    age: float


class Cache(Protocol):
    """Where answers are kept; a store that is away has none."""

    def peek(self, key: bytes) -> Kept | None:
        """Give an answer if that costs no waiting."""

    async def get(self, key: bytes) -> Kept | None:
        """Give an answer, however old."""

    async def set(self, key: bytes, body: bytes) -> None:
        """Keep an answer from now on."""


class MemoryCache:
    """Keeps answers in this process, oldest out first.

    :param max_bytes: what all answers may take together, some 250 bytes of bookkeeping each included.
    :param clock: seconds that only go forward.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.answers: FIFOCache[bytes, tuple[bytes, float]] = FIFOCache(max_bytes, lambda kept: len(kept[0]) + 250)
        self.clock = clock

    def peek(self, key: bytes) -> Kept | None:
        """Give an answer, however old."""
        kept = self.answers.get(key)
        return kept and Kept(kept[0], self.clock() - kept[1])

    async def get(self, key: bytes) -> Kept | None:
        """Give an answer, however old."""
        return self.peek(key)

    async def set(self, key: bytes, body: bytes) -> None:
        """Keep an answer, unless it alone is larger than everything that may be kept."""
        try:
            self.answers[key] = (body, self.clock())
        except ValueError:
            LOG.warning("an answer of %d bytes is too large for the cache", len(body))


class SharedCache:
    """Keeps answers in memcached or Redis, as our own bytes: never a pickle, in neither direction.

    A store that fails or is slow is a miss, and is left alone for :data:`STORE_REST` seconds.

    :param region: a configured one of dogpile.
    :param failures: what the store's driver raises, besides OSError.
    :param wall_clock: seconds since the epoch, which hosts more or less agree on.
    """

    def __init__(
        self,
        region: CacheRegion,
        failures: type[Exception],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.backend = region.actual_backend
        self.failures = (failures, OSError, NoThreadFree)
        self.threads = Threads(STORE_THREADS)
        self.clock = clock
        self.wall_clock = wall_clock
        self.rests_until = float("-inf")
        self.complained = False

    def peek(self, _: bytes) -> Kept | None:
        """Give nothing: the store has to be asked."""
        return None

    async def get(self, key: bytes) -> Kept | None:
        """Give an answer, however old; what is no answer of ours is none."""
        found = await self.ask(self.backend.get_serialized, name_of(key))
        if found is None or found is NO_VALUE:
            return None
        kept = unwrap(key, found, self.wall_clock())
        if kept is None and not self.complained:
            self.complained = True
            LOG.warning("the cache holds values that are not ours or are damaged; they are not used")
        return kept

    async def set(self, key: bytes, body: bytes) -> None:
        """Keep an answer, if the store takes it."""
        await self.ask(self.backend.set_serialized, name_of(key), wrap(key, body, self.wall_clock()))

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.clock() < self.rests_until:
            return None
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                return await self.threads.run(function, *arguments)
        except self.failures as error:  # TimeoutError is an OSError
            self.rests_until = self.clock() + STORE_REST
            LOG.warning("the cache does not answer (%s); it is left alone for %g s", type(error).__name__, STORE_REST)
            return None


class RawSerde:
    """Stands where pymemcache would pickle and, worse, unpickle."""

    def serialize(self, _: Any, value: bytes) -> tuple[bytes, int]:
        """Give the bytes as they are."""
        return value, 0

    def deserialize(self, _: Any, value: bytes, __: int) -> bytes:
        """Give the bytes as they are, whatever flags they were stored with."""
        return value


def build_cache(conf: cfg.ConfigOpts, max_bytes: int) -> Cache:
    """Give the cache that ``[cache]`` asks for; without ``enabled = true``, one in this process.

    :param max_bytes: the size of the one in this process.
    :raises ConfigError: an option is wrong, or the backend would unpickle what it finds.
    """
    problems = find_cache_problems(conf)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    if not conf.cache.enabled or conf.cache.backend in IN_PROCESS:
        return MemoryCache(max_bytes)
    failures = driver_failures(conf.cache.backend)
    region = make_region()
    oslo_cache.configure_cache_region(conf, region)
    if conf.cache.backend == "dogpile.cache.pymemcache":
        region.actual_backend.serde = RawSerde()
    return SharedCache(region, failures)


def find_cache_problems(conf: cfg.ConfigOpts) -> list[Problem]:
    """Say what is wrong in ``[cache]``; empty when a cache can be built with it."""
    oslo_cache.configure(conf)
    problems = []
    for name in conf.cache:
        try:
            conf.cache[name]
        except (ValueError, cfg.NoSuchOptError, cfg.TemplateSubstitutionError):
            problems.append(Problem("cache", name, "not a valid value"))
    if problems or not conf.cache.enabled or conf.cache.backend in IN_PROCESS:
        return problems
    if conf.cache.backend not in SHARED:
        text = f"{conf.cache.backend} unpickles what it finds; use one of {', '.join(SHARED)}"
        return [Problem("cache", "backend", text)]
    if conf.cache.backend_expiration_time is None:
        conf.set_default("backend_expiration_time", STORE_FOR, group="cache")
    return []


def driver_failures(backend: str) -> type[Exception]:
    """Import the driver of a backend and give the base of what it raises.

    :raises ConfigError: the driver is not installed.
    """
    module, name, extra = DRIVERS[backend]
    try:
        failures: type[Exception] = getattr(import_module(module), name)
    except ImportError:
        raise ConfigError(f"[cache] backend: {backend} needs a driver: pip install 'vendorsrv[{extra}]'") from None
    return failures


def name_of(key: bytes) -> str:
    return f"vendorsrv:{key.hex()}"


def wrap(key: bytes, body: bytes, now: float) -> bytes:
    stamp = STAMP.pack(now)
    return MAGIC + stamp + seal(key, stamp, body) + body


def unwrap(key: bytes, found: object, now: float) -> Kept | None:
    """Read what :func:`wrap` made for this key, or give None: it is truncated, foreign, or from the future."""
    start = len(MAGIC)
    if not isinstance(found, bytes) or not found.startswith(MAGIC) or len(found) < start + STAMP.size + DIGEST_SIZE:
        return None
    stamp = found[start : start + STAMP.size]
    digest, body = found[start + STAMP.size :][:DIGEST_SIZE], found[start + STAMP.size + DIGEST_SIZE :]
    age = now - STAMP.unpack(stamp)[0]
    if seal(key, stamp, body) != digest or not age > -CLOCK_SKEW:
        return None
    return Kept(body, max(0.0, age))


def seal(key: bytes, stamp: bytes, body: bytes) -> bytes:
    return hashlib.sha256(MAGIC + key + stamp + body).digest()
