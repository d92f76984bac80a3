"""Cached answers: in this process, or in the memcached or Redis that ``[cache]`` names."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from cachetools import FIFOCache
from oslo_cache import core as oslo_cache
from oslo_config import cfg

from vendorsrv.cache.entries import CachedAnswer, Entries
from vendorsrv.cache.stores import STORES, SharedStore, StoreRefused, StoreUnavailable, open_store
from vendorsrv.concurrency import NoThreadFree, ThreadBudget
from vendorsrv.encryption import read_keys
from vendorsrv.errors import ConfigError
from vendorsrv.settings import UNRESOLVED, Problem
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

IN_PROCESS: Final = ("dogpile.cache.null", "dogpile.cache.memory")
#: The most seconds that a call to the store may cost a request.
STORE_TIMEOUT: Final = 0.5
#: Seconds for which a store that failed is not called.
RETRY_AFTER: Final = 5.0
STORE_THREADS: Final = 16
#: Seconds after which a store may forget, unless [cache] backend_expiration_time says otherwise.
STORE_FOR: Final = 86_400
#: Bytes that an answer costs in this process besides its own.
OVERHEAD: Final = 280


class Cache(Protocol):
    """A cache of answers; one whose store is unavailable has none.

    :ivar timeout: the most seconds that :meth:`get` and :meth:`set` each take.
    """

    timeout: float

    def peek(self, key: bytes) -> CachedAnswer | None:
        """Return an answer, however old, if that needs no waiting."""

    async def get(self, key: bytes) -> CachedAnswer | None:
        """Return an answer, however old."""

    async def set(self, key: bytes, body: bytes, max_age: float) -> None:
        """Store an answer that was made now."""

    async def forget(self, key: bytes) -> None:
        """Forget an answer, if there is one."""

    def close(self) -> None:
        """Free what the cache holds."""


class MemoryCache:
    """Caches answers in this process; the oldest go first.

    :param max_bytes: what all answers may take together, with :data:`OVERHEAD` for each.
    :param clock: monotonic seconds.
    """

    timeout = 0.0

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.answers: FIFOCache[bytes, tuple[bytes, float, float]] = FIFOCache(
            max_bytes, lambda entry: len(entry[0]) + OVERHEAD
        )
        self.clock = clock

    def peek(self, key: bytes) -> CachedAnswer | None:
        try:
            body, made_at, max_age = self.answers[key]
        except KeyError:
            return None
        return CachedAnswer(body, self.clock() - made_at, max_age)

    async def get(self, key: bytes) -> CachedAnswer | None:
        return self.peek(key)

    async def set(self, key: bytes, body: bytes, max_age: float) -> None:
        try:
            self.answers[key] = (body, self.clock(), max_age)
        except ValueError:
            LOG.warning("an answer of %d bytes is too large for the cache", len(body))

    async def forget(self, key: bytes) -> None:
        self.answers.pop(key, None)

    def close(self) -> None:
        self.answers.clear()


class SharedCache:
    """Caches answers in memcached or Redis, as our own bytes.

    A store that fails or is slow is a miss, and is not called for :data:`RETRY_AFTER` seconds. One that answers and
    refuses (it is full, for example) is a miss. So is a value that we did not put there.

    :param entries: encrypts the answers, or does not.
    :param clock: monotonic seconds.
    :param wall_clock: seconds since the epoch, on which hosts roughly agree.
    """

    timeout = STORE_TIMEOUT

    def __init__(
        self,
        store: SharedStore,
        entries: Entries,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        metrics = metrics or Metrics()
        self.failures = metrics.counter("vendorsrv_cache_failures_total")
        self.rejected = metrics.counter("vendorsrv_cache_rejected_total")
        self.store = store
        self.entries = entries
        self.threads = ThreadBudget(STORE_THREADS)
        self.slots = asyncio.Semaphore(STORE_THREADS)
        self.clock = clock
        self.wall_clock = wall_clock
        self.retry_at = float("-inf")
        self.warned: set[str] = set()

    def peek(self, _: bytes) -> CachedAnswer | None:
        return None  # the store has to be called

    async def get(self, key: bytes) -> CachedAnswer | None:
        value = await self.call(self.store.get, key)
        cached = self.entries.unpack(key, value, self.wall_clock())
        if cached is None and value is not None:
            self.rejected.inc()
            self.warn_once("the cache holds values that are not ours or are damaged; they are not used")
        return cached

    async def set(self, key: bytes, body: bytes, max_age: float) -> None:
        await self.call(self.store.set, key, self.entries.pack(key, body, self.wall_clock(), max_age))

    async def forget(self, key: bytes) -> None:
        await self.call(self.store.delete, key)

    def close(self) -> None:
        self.store.close()

    async def call(self, function: Callable[..., Any], key: bytes, *arguments: Any) -> Any:
        if self.clock() < self.retry_at:
            return None
        name = f"vendorsrv:2:{key.hex()}"  # not those of 0.1.0, which may share the store during an upgrade
        try:
            # All slots can be free while threads still hang: then waiting is of no use.
            async with asyncio.timeout(self.timeout), self.slots:
                return await self.threads.run(function, name, *arguments)
        except StoreRefused as error:
            self.warn_once(f"the cache refuses calls ({error})")
        except (StoreUnavailable, NoThreadFree, TimeoutError) as error:
            if self.clock() >= self.retry_at:  # one line for all calls that failed at the same time
                self.failures.inc()
                reason = str(error) or type(error).__name__
                LOG.warning("the cache is unavailable (%s); retrying in %g s", reason, RETRY_AFTER)
            self.retry_at = self.clock() + RETRY_AFTER
        return None

    def warn_once(self, warning: str) -> None:
        if warning not in self.warned:
            self.warned.add(warning)
            LOG.warning("%s", warning)


def build_cache(
    conf: cfg.ConfigOpts,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
    metrics: Metrics | None = None,
    keys: Sequence[str] = (),
) -> Cache:
    """Return the cache that ``[cache]`` names; without ``enabled = true``, one in this process.

    :param max_bytes: the size of a cache in this process.
    :param clock: monotonic seconds.
    :param keys: ``[pins] encryption_keys``, for answers that leave this process.
    :raises ConfigError: an option is wrong, or the backend would unpickle stored values.
    """
    problems = find_cache_problems(conf)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    if not is_shared(conf):
        return MemoryCache(max_bytes, clock)
    return SharedCache(open_store(conf, STORE_TIMEOUT), Entries(read_keys(keys)), clock, metrics=metrics)


def is_shared(conf: cfg.ConfigOpts) -> bool:
    """Whether ``[cache]``, in which nothing is wrong, names a store outside this process."""
    return bool(conf.cache.enabled) and conf.cache.backend not in IN_PROCESS


def find_cache_problems(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return what is wrong in ``[cache]``; nothing when a cache can be built with it."""
    oslo_cache.configure(conf)
    problems = []
    for name in conf.cache:
        try:
            conf.cache[name]
        except (ValueError, *UNRESOLVED):
            problems.append(Problem("cache", name, "not a valid value"))
    if problems or not is_shared(conf):
        return problems
    if conf.cache.backend not in STORES:  # whoever can write to the store could run code here
        text = f"{conf.cache.backend} unpickles stored values; use one of {', '.join(STORES)}"
        return [Problem("cache", "backend", text)]
    if conf.cache.backend_expiration_time is None:
        conf.set_default("backend_expiration_time", STORE_FOR, group="cache")
    return []
