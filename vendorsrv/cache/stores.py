"""The memcached or Redis that ``[cache]`` names; stores and returns bytes, and never pickles."""

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


class StoreUnavailable(Exception):
    """The store does not answer, or speaks another protocol."""


class StoreRefused(Exception):
    """The store refused the call: it is full, or the value is too large or of another type."""


class SharedStore(Protocol):
    """A store of bytes. Calls block, for some seconds at most.

    They raise StoreUnavailable and StoreRefused, whose messages hold no key and no value.
    """

    def get(self, name: str) -> bytes | None:
        """Return the value of a name, or None."""

    def set(self, name: str, value: bytes) -> None:
        """Store a value for ``[cache] backend_expiration_time`` seconds."""

    def delete(self, name: str) -> None:
        """Delete a value, if there is one."""

    def close(self) -> None:
        """Close the connections that are idle."""


class RedisStore:
    """Redis, alone or behind sentinels.

    :param backend: dogpile's backend, which has the clients that ``[cache]`` describes.
    """

    def __init__(self, backend: Any, _: float) -> None:
        self.backend = backend
        self.errors = import_module("redis.exceptions")

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.run(self.backend.reader_client.get, name)
        return found

    def set(self, name: str, value: bytes) -> None:
        self.run(self.backend.writer_client.set, name, value, ex=self.backend.redis_expiration_time)

    def delete(self, name: str) -> None:
        self.run(self.backend.writer_client.delete, name)

    def close(self) -> None:
        for client in (self.backend.reader_client, self.backend.writer_client):
            client.close()

    def run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except self.errors.ResponseError as error:
            raise StoreRefused(type(error).__name__) from None
        except (self.errors.RedisError, OSError, ValueError) as error:  # ValueError: another protocol
            raise StoreUnavailable(type(error).__name__) from None


class MemcachedStore:
    """One or more memcached servers, through pymemcache: dogpile's backend sets no timeout, and unpickles.

    :param backend: dogpile's backend, for the options of ``[cache]``.
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
            "retry_attempts": 0,  # a server that fails is not used for a minute; the others take its keys
        }
        self.idle: list[Any] = []  # clients are not thread-safe
        self.is_closed = False

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self.run("get", name)
        return found

    def set(self, name: str, value: bytes) -> None:
        self.run("set", name, value, expire=self.expire, noreply=False)

    def delete(self, name: str) -> None:
        self.run("delete", name, noreply=False)

    def close(self) -> None:
        self.is_closed = True
        with suppress(IndexError):
            while True:
                self.idle.pop().close()

    def release(self, client: Any) -> None:
        self.idle.append(client)
        if self.is_closed:  # during this call
            self.close()

    def run(self, command: str, *arguments: Any, **options: Any) -> Any:
        with suppress(IndexError, StoreUnavailable):  # its connections may be older than a restart of the server
            return self.call(self.idle.pop(), command, *arguments, **options)
        client = self.hash_client(**self.options)
        with suppress(StoreUnavailable):  # afterwards the client knows which server is dead, and uses another
            return self.call(client, command, *arguments, **options)
        return self.call(client, command, *arguments, **options)

    def call(self, client: Any, command: str, *arguments: Any, **options: Any) -> Any:
        refusals = (self.errors.MemcacheServerError, self.errors.MemcacheClientError)
        try:
            answer = getattr(client, command)(*arguments, **options)
        except (self.errors.MemcacheError, OSError, ValueError) as error:
            if isinstance(error, refusals) and not isinstance(error, self.errors.MemcacheUnexpectedCloseError):
                self.release(client)
                raise StoreRefused(type(error).__name__) from None
            client.close()
            raise StoreUnavailable(type(error).__name__) from None
        self.release(client)
        return answer


#: By name of the backend: the store that uses its driver, and the extra that installs the driver.
STORES: Final[dict[str, tuple[Callable[[Any, float], SharedStore], str, str]]] = {
    "dogpile.cache.redis": (RedisStore, "redis", "redis"),
    "dogpile.cache.redis_sentinel": (RedisStore, "redis", "redis"),
    "dogpile.cache.pymemcache": (MemcachedStore, "memcached", "pymemcache"),
}


def open_store(conf: cfg.ConfigOpts, timeout: float) -> SharedStore:
    """Return the store that ``[cache]`` names, without connecting to it.

    :param conf: with the options of ``[cache]``, whose backend is one of :data:`STORES`.
    :param timeout: seconds for the calls for which ``[cache]`` has no timeout.
    :raises ConfigError: the driver is not installed, or an option is wrong.
    """
    store, extra, driver = STORES[conf.cache.backend]
    region = make_region()
    try:
        oslo_cache.configure_cache_region(conf, region)
        return store(region.actual_backend, timeout)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        needed = "a driver" if missing == driver else f"{missing}, which its driver {driver} imports"
        raise ConfigError(
            f"[cache] backend: {conf.cache.backend} needs {needed}: pip install 'vendorsrv[{extra}]'"
        ) from None
    except (ConfigurationError, ImportError, OSError, ValueError) as error:
        raise ConfigError(f"[cache] {error}") from None
