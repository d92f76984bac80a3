"""Answers kept for a time: in this process, or in the memcached or Redis that ``[cache]`` names."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cachetools import FIFOCache
from oslo_cache import core as oslo_cache
from oslo_config import cfg

from vendorsrv.cache.stores import STORES, SharedStore, StoreAway, StoreRefused, open_store
from vendorsrv.concurrency import NoThreadFree, ThreadBudget
from vendorsrv.errors import ConfigError
from vendorsrv.settings import Problem
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

#: Backends that hand out the stored bytes. The others of dogpile and oslo.cache unpickle what they find, and so let
#: everybody who can write to the store run code here.
SHARED: Final = tuple(STORES)
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


@dataclass(slots=True)
class Kept:
    """An answer from a cache: its bytes, and the seconds since they were made."""

    body: bytes
    age: float


class Cache(Protocol):
    """Where answers are kept; a store that is away has none.

    :ivar patience: seconds that :meth:`get` may take, and :meth:`set` as well.
    """

    patience: float

    def peek(self, key: bytes) -> Kept | None:
        """Give an answer if that costs no waiting."""

    async def get(self, key: bytes) -> Kept | None:
        """Give an answer, however old."""

    async def set(self, key: bytes, body: bytes) -> None:
        """Keep an answer from now on."""

    def close(self) -> None:
        """Give back what asking took."""


class MemoryCache:
    """Keeps answers in this process, oldest out first.

    :param max_bytes: what all answers may take together, some 250 bytes of bookkeeping each included.
    :param clock: seconds that only go forward.
    """

    patience = 0.0

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.answers: FIFOCache[bytes, tuple[bytes, float]] = FIFOCache(max_bytes, lambda kept: len(kept[0]) + 250)
        self.clock = clock

    def peek(self, key: bytes) -> Kept | None:
        """Give an answer, however old."""
        try:
            body, since = self.answers[key]
        except KeyError:
            return None
        return Kept(body, self.clock() - since)

    async def get(self, key: bytes) -> Kept | None:
        """Give an answer, however old."""
        return self.peek(key)

    async def set(self, key: bytes, body: bytes) -> None:
        """Keep an answer, unless it alone is larger than everything that may be kept."""
        try:
            self.answers[key] = (body, self.clock())
        except ValueError:
            LOG.warning("an answer of %d bytes is too large for the cache", len(body))

    def close(self) -> None:
        """Forget all answers."""
        self.answers.clear()


class SharedCache:
    """Keeps answers in memcached or Redis, as our own bytes.

    A store that is away or slow is a miss, and is left alone for :data:`STORE_REST` seconds; one that answers and
    refuses (it is full, say) is a miss.

    :param clock: seconds that only go forward.
    :param wall_clock: seconds since the epoch, which hosts more or less agree on.
    """

    patience = STORE_TIMEOUT

    def __init__(
        self,
        store: SharedStore,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self.failures = (metrics or Metrics()).tally("vendorsrv_cache_failures_total")
        self.store = store
        self.threads = ThreadBudget(STORE_THREADS)
        self.places = asyncio.Semaphore(STORE_THREADS)
        self.clock = clock
        self.wall_clock = wall_clock
        self.rests_until = float("-inf")
        self.complaints: set[str] = set()

    def peek(self, _: bytes) -> Kept | None:
        """Give nothing: the store has to be asked."""
        return None

    async def get(self, key: bytes) -> Kept | None:
        """Give an answer, however old; what is no answer of ours is none."""
        found = await self.ask(self.store.get, name_of(key))
        if found is None:
            return None
        kept = unwrap(key, found, self.wall_clock())
        if kept is None:
            self.complain_once("the cache holds values that are not ours or are damaged; they are not used")
        return kept

    async def set(self, key: bytes, body: bytes) -> None:
        """Keep an answer, if the store takes it."""
        await self.ask(self.store.set, name_of(key), wrap(key, body, self.wall_clock()))

    def close(self) -> None:
        """Close the connections to the store."""
        self.store.close()

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.clock() < self.rests_until:
            return None
        try:
            # All places can be free while threads still hang: then there is no use in waiting.
            async with asyncio.timeout(self.patience), self.places:
                return await self.threads.run(function, *arguments)
        except StoreRefused as error:
            self.complain_once(f"the cache refuses what it is asked ({error})")
        except (StoreAway, NoThreadFree, TimeoutError) as error:
            self.rest(str(error) or type(error).__name__)
        return None

    def rest(self, reason: str) -> None:
        if self.clock() >= self.rests_until:  # one line for all that asked at the same time
            self.failures.add()
            LOG.warning("the cache does not answer (%s); it is left alone for %g s", reason, STORE_REST)
        self.rests_until = self.clock() + STORE_REST

    def complain_once(self, complaint: str) -> None:
        if complaint not in self.complaints:
            self.complaints.add(complaint)
            LOG.warning("%s", complaint)


def build_cache(
    conf: cfg.ConfigOpts,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
    metrics: Metrics | None = None,
) -> Cache:
    """Give the cache that ``[cache]`` asks for; without ``enabled = true``, one in this process.

    :param max_bytes: the size of the one in this process.
    :param clock: seconds that only go forward.
    :raises ConfigError: an option is wrong, or the backend would unpickle what it finds.
    """
    problems = find_cache_problems(conf)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    if not conf.cache.enabled or conf.cache.backend in IN_PROCESS:
        return MemoryCache(max_bytes, clock)
    return SharedCache(open_store(conf, STORE_TIMEOUT), clock, metrics=metrics)


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
    if seal(key, stamp, body) != digest or not -CLOCK_SKEW < age < math.inf:
        return None
    return Kept(body, max(0.0, age))


def seal(key: bytes, stamp: bytes, body: bytes) -> bytes:
    return hashlib.sha256(MAGIC + key + stamp + body).digest()
