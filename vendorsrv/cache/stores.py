"""The memcached or Redis that ``[cache]`` names: bytes in, bytes out, and never a pickle, in neither direction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, Protocol

from dogpile.cache.region import make_region
from oslo_cache import core as oslo_cache
from oslo_cache.exception import ConfigurationError
from oslo_config import cfg

from vendorsrv.errors import ConfigError


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

    def close(self) -> None:
        """Close the connections that nobody uses now."""


class RedisStore:
    """Redis, alone or behind sentinels.

    :param backend: dogpile's, which has the clients that ``[cache]`` describes.
    """

    def __init__(self, backend: Any, _: float) -> None:
        self.backend = backend
        self.errors = import_module("redis.exceptions")

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.run(self.backend.reader_client.get, name)
        return found

    def set(self, name: str, value: bytes) -> None:
        self.run(self.backend.writer_client.set, name, value, ex=self.backend.redis_expiration_time)

    def close(self) -> None:
        for client in (self.backend.reader_client, self.backend.writer_client):
            client.close()

    def run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
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
            "retry_attempts": 0,  # a server that fails is left out for a minute, and the others have its keys
        }
        self.idle: list[Any] = []  # a client is not safe between threads
        self.is_closed = False

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.run("get", name)
        return found

    def set(self, name: str, value: bytes) -> None:
        self.run("set", name, value, expire=self.expire, noreply=False)

    def close(self) -> None:
        self.is_closed = True
        with suppress(IndexError):
            while True:
                self.idle.pop().close()

    def give_back(self, client: Any) -> None:
        self.idle.append(client)
        if self.is_closed:  # while this call was under way
            self.close()

    def run(self, command: str, *arguments: Any, **options: Any) -> Any:
        with suppress(IndexError, StoreAway):  # its connections may be from before a restart
            return self.call(self.idle.pop(), command, *arguments, **options)
        client = self.hash_client(**self.options)
        with suppress(StoreAway):  # it knows then which server is dead, and asks another one
            return self.call(client, command, *arguments, **options)
        return self.call(client, command, *arguments, **options)

    def call(self, client: Any, command: str, *arguments: Any, **options: Any) -> Any:
        try:
            answer = getattr(client, command)(*arguments, **options)
        except (self.errors.MemcacheUnexpectedCloseError, OSError, ValueError) as error:
            client.close()
            raise StoreAway(type(error).__name__) from None
        except (self.errors.MemcacheServerError, self.errors.MemcacheClientError) as error:
            self.give_back(client)
            raise StoreRefused(type(error).__name__) from None
        except self.errors.MemcacheError as error:
            client.close()
            raise StoreAway(type(error).__name__) from None
        self.give_back(client)
        return answer


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
