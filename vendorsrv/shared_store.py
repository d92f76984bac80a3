"""The memcached or Redis that ``[cache]`` names: bytes in, bytes out, and never a pickle, in neither direction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Protocol

from dogpile.cache.api import NO_VALUE
from dogpile.cache.region import make_region
from oslo_cache import core as oslo_cache
from oslo_cache.exception import ConfigurationError
from oslo_config import cfg

from vendorsrv.errors import ConfigError

#: Seconds for which a memcached that failed is left out of those that keys are spread over.
DEAD_FOR: Final = 2.5


class StoreAway(Exception):
    """The store does not answer, or not as one of its kind."""


class StoreRefused(Exception):
    """The store answered that it does not do this: it is full, the value is too large or of another type."""


class SharedStore(Protocol):
    """A store that hands out what was put in; calls block, for some seconds at most.

    Both methods raise StoreAway and StoreRefused; their texts hold no key and no value.
    """

    def get(self, name: str) -> bytes | None:
        """Give what stands under a name; None when nothing does."""

    def set(self, name: str, value: bytes) -> None:
        """Put something under a name, for ``[cache] backend_expiration_time`` seconds."""


class RedisStore:
    """Redis, alone or behind sentinels, by the backend of dogpile, which adds nothing to the bytes.

    :param backend: a configured one.
    """

    def __init__(self, backend: Any, _: float) -> None:
        self.backend = backend
        self.errors = import_module("redis.exceptions")

    def get(self, name: str) -> bytes | None:
        found = self.run(self.backend.get_serialized, name)
        return None if found is NO_VALUE else found

    def set(self, name: str, value: bytes) -> None:
        self.run(self.backend.set_serialized, name, value)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self.errors.ResponseError as error:
            raise StoreRefused(type(error).__name__) from None
        except (self.errors.RedisError, OSError, ValueError) as error:  # ValueError: it speaks another protocol
            raise StoreAway(type(error).__name__) from None


class MemcachedStore:
    """One memcached or several, by pymemcache: dogpile's backend gives it no timeout, and lets it unpickle.

    :param backend: dogpile's, for what ``[cache]`` says.
    :param timeout: seconds for connecting, and for each answer.
    """

    def __init__(self, backend: Any, timeout: float) -> None:
        self.errors = import_module("pymemcache.exceptions")
        self.hash_client = import_module("pymemcache.client.hash").HashClient
        self.expire = backend.set_arguments.get("expire", 0)
        self.options = {
            "servers": backend.url,
            "tls_context": backend.tls_context,
            "socket_keepalive": backend.socket_keepalive,
            "connect_timeout": timeout,
            "timeout": timeout,
            "retry_attempts": 1,
            "retry_timeout": 0,
            "dead_timeout": DEAD_FOR,
        }
        self.local = threading.local()  # a client is not safe between threads

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.run("get", name)
        return found

    def set(self, name: str, value: bytes) -> None:
        self.run("set", name, value, expire=self.expire, noreply=False)

    def run(self, command: str, *arguments: Any, **options: Any) -> Any:
        try:
            try:
                return getattr(self.client(), command)(*arguments, **options)
            except (self.errors.MemcacheUnexpectedCloseError, ConnectionError):
                return getattr(self.client(), command)(*arguments, **options)  # restarted since this thread's last call
        except (self.errors.MemcacheUnexpectedCloseError, OSError, ValueError) as error:
            raise StoreAway(type(error).__name__) from None
        except (self.errors.MemcacheServerError, self.errors.MemcacheClientError) as error:
            raise StoreRefused(type(error).__name__) from None
        except self.errors.MemcacheError as error:
            raise StoreAway(type(error).__name__) from None

    def client(self) -> Any:
        if not hasattr(self.local, "client"):
            self.local.client = self.hash_client(**self.options)
        return self.local.client


#: By the name of the backend: what uses its driver, and the extra that brings the driver.
STORES: Final[dict[str, tuple[Callable[[Any, float], SharedStore], str]]] = {
    "dogpile.cache.redis": (RedisStore, "redis"),
    "dogpile.cache.redis_sentinel": (RedisStore, "redis"),
    "dogpile.cache.pymemcache": (MemcachedStore, "memcached"),
}


def open_store(conf: cfg.ConfigOpts, timeout: float) -> SharedStore:
    """Give the store that ``[cache]`` names; nothing is sent to it yet.

    :param conf: with the options of ``[cache]``, whose backend is one of :data:`STORES`.
    :param timeout: seconds for what ``[cache]`` can set no timeout for.
    :raises ConfigError: the driver is not installed, or an option is wrong.
    """
    store, extra = STORES[conf.cache.backend]
    region = make_region()
    try:
        oslo_cache.configure_cache_region(conf, region)
        return store(region.actual_backend, timeout)
    except ModuleNotFoundError:
        raise ConfigError(
            f"[cache] backend: {conf.cache.backend} needs a driver: pip install 'vendorsrv[{extra}]'"
        ) from None
    except (ConfigurationError, ImportError, OSError, ValueError) as error:
        raise ConfigError(f"[cache] {error}") from None
