"""Where a handler's answers are cached."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from vendorsrv.declarations import OnError
from vendorsrv.errors import HandlerError, VendordataError
from vendorsrv.handler import defines_cache_key
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.request import VendordataRequest
from vendorsrv.strictjson import StrictJSONError, encode


class CacheKey(NamedTuple):
    """Where an answer is cached.

    :ivar question: equal for all requests that get the same answer.
    :ivar entry: the key in the cache.
    :ivar mark: precedes the answer in its entry; the answer to another question is stale.
    """

    question: bytes
    entry: bytes
    mark: bytes


class CacheKeys:
    """The keys of one handler's answers."""

    def __init__(self, enabled: EnabledHandler) -> None:
        self.enabled = enabled
        self.uses_stale = enabled.on_error is OnError.STALE
        self.identity = hashlib.sha256(f"{enabled.name}\0{enabled.version}".encode()).digest()
        self.owner = hashlib.sha256(enabled.name.encode()).digest()
        self.has_own = defines_cache_key(type(enabled.handler))

    def of(self, request: VendordataRequest) -> CacheKey:
        """Return the key of a request's answer: its question, or its subject, which finds a stale answer as well.

        :raises VendordataError: the handler's ``cache_key`` does, or returns what is no JSON.
        """
        caller = b""
        if self.enabled.handler.per_caller and (by := request.caller):
            caller = hashlib.sha256(repr((by.user_id, by.project_id, sorted(by.roles))).encode()).digest()
        own = self.own_digest(request) if self.has_own else None
        question = self.identity + caller + (own or request.digest)
        if not self.uses_stale:
            return CacheKey(question, question, b"")
        return CacheKey(question, self.owner + caller + (own or request.instance_id.encode()), question)

    def stale_entry(self, instance_id: str) -> bytes | None:
        """Return under which key the last answer for an instance is; None where that is not known."""
        is_known = self.uses_stale and not (self.has_own or self.enabled.handler.per_caller)
        return self.owner + instance_id.encode() if is_known else None

    def own_digest(self, request: VendordataRequest) -> bytes:
        try:
            return hashlib.sha256(encode(self.enabled.handler.cache_key(request))).digest()
        except VendordataError:
            raise
        except StrictJSONError as error:
            raise HandlerError(f"the cache_key of handler {self.enabled.name} {error}") from None
        except BaseException as error:  # noqa: BLE001 - an author's code, and sys.exit() would end the worker
            raise self.enabled.runner.failed(error) from None
