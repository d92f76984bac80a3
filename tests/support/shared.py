"""A cache in a store of the test's own, and the clocks that it goes by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from tests.support.serving import section, write_config
from tests.support.stores import OwnMemcached, OwnRedis, OwnStore
from vendorsrv import Settings
from vendorsrv.cache.answers import SharedCache, find_cache_problems
from vendorsrv.cache.entries import Entries
from vendorsrv.cache.stores import open_store

BACKENDS: Final = ("redis", "memcached")
#: A key, and the name that its answer has in the store.
KEY: Final = b"\x01" * 32
NAME: Final = "vendorsrv:2:0101010101010101010101010101010101010101010101010101010101010101"


def store_of(backend: str) -> OwnStore:
    """Return a store that is not started yet."""
    return OwnRedis() if backend == "redis" else OwnMemcached()


def options_for(store: OwnStore, port: int | None = None, second: int | None = None) -> dict[str, object]:
    """Return the options of ``[cache]`` for a store.

    :param port: of the relay in front of it.
    :param second: the port of a second one like it.
    """
    at = f"127.0.0.1:{port or store.port}" + (f",127.0.0.1:{second}" if second else "")
    if isinstance(store, OwnRedis):
        return {"enabled": True, "backend": "dogpile.cache.redis", "redis_server": at}
    return {"enabled": True, "backend": "dogpile.cache.pymemcache", "memcache_servers": at}


class Caches:
    """Builds caches as one worker each has them; a context manager, which closes them.

    :param directory: for the configuration.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.built: list[SharedCache] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for cache in self.built:
            cache.close()

    def __call__(
        self,
        store: OwnStore,
        port: int | None = None,
        *,
        second: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        expiration: int | None = None,
        timeout: float = 10.0,
        keys: Sequence[bytes] = (),
    ) -> SharedCache:
        """Build the cache of one worker.

        :param port: of the relay in front of the store.
        :param second: the port of a second store like it.
        :param expiration: ``[cache] backend_expiration_time``.
        :param timeout: seconds that it waits for the store; a worker's waits for half a second.
        :param keys: with which it encrypts.
        """
        options = {**options_for(store, port, second), "backend_expiration_time": expiration}
        conf = Settings.from_file(write_config(self.directory, sections=section("cache", options))).conf
        assert [] == find_cache_problems(conf)
        cache = SharedCache(open_store(conf, timeout), Entries(keys), clock, wall)
        cache.timeout = timeout
        self.built.append(cache)
        return cache
