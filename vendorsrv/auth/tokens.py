"""Validation of tokens by keystonemiddleware, behind a cache and single-flight: Keystone sees each token once."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from wsgiref.util import setup_testing_defaults

import anyio
from anyio.to_thread import run_sync
from cachetools import LRUCache, TLRUCache
from keystonemiddleware.auth_token import AuthProtocol

from vendorsrv.auth.options import NO_ANSWER, NO_CACHE, own_session, register
from vendorsrv.concurrency import FairSemaphore, QueueFull, SingleFlight
from vendorsrv.errors import KeystoneUnavailable, Unauthorized
from vendorsrv.peers.addresses import peer_key
from vendorsrv.request import Caller
from vendorsrv.settings import Settings
from vendorsrv.telemetry.metrics import Metrics
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)
#: Below warnings these log Keystone's answers, in which older Keystones include the token.
VERBOSE_LOGGERS: Final = ("keystonemiddleware.auth_token", "keystoneauth.session")

#: Fernet and JWS tokens fit. White space must not reach keystonemiddleware, which would answer 503.
TOKEN: Final = re.compile(r"[!-~]{1,8192}")
#: The status by which the middleware's application says that it was reached.
ACCEPTED: Final = "204 No Content"
VALID_TOKENS: Final = 16_384
INVALID_TOKENS: Final = 4_096
#: Tokens that may wait for their validation: those of known senders, and as many of strangers.
WAITING_TOKENS: Final = 2_048
#: Peers whose tokens were valid and are validated before those of strangers; the least recent is forgotten first.
KNOWN_PEERS: Final = 4_096
#: Seconds for which a successful check of readiness is not repeated.
READY_FOR: Final = 2.0
NEVER: Final = float("-inf")
NOT_READY: Final = "Keystone does not answer, or refuses the account in [keystone_authtoken]"
#: Either role lets an account validate other accounts' tokens (Keystone's identity:validate_token).
VALIDATORS: Final = frozenset({"service", "admin"})


@dataclass(frozen=True, slots=True)
class Validated:
    """The owner of a valid token.

    :ivar until: when the token has to be validated again, on the monotonic clock.
    :ivar path: the only path for which the token was validated if it has access rules; else None.
    """

    caller: Caller
    until: float
    path: str | None


class Authenticator:
    """Validates tokens.

    :param settings: with the options of ``[keystone_authtoken]`` in ``settings.conf``.
    :param clock: seconds that only go forward.
    :raises ConfigError: ``[keystone_authtoken]`` is incomplete.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, metrics: Metrics | None = None
    ) -> None:
        conf = settings.conf
        metrics = metrics or Metrics()
        self.cache_hits = metrics.counter("vendorsrv_token_cache_hits_total")
        self.validations = metrics.token_validations()
        self.not_validated = metrics.counter("vendorsrv_tokens_not_validated_total")
        self.keep_for, self.challenge = register(conf)
        self.session = own_session(conf)
        for name in VERBOSE_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self.middleware = AuthProtocol(accept, {"oslo_config_config": conf})
        self.timeout = min(settings.auth_timeout, settings.request_timeout)
        self.clock = clock
        self.threads = anyio.CapacityLimiter(settings.auth_threads)
        self.queue = FairSemaphore(settings.auth_threads, WAITING_TOKENS, clock)
        # Its own: while strangers' tokens fill the queue, a load balancer must not take all servers out.
        self.ready_thread = anyio.CapacityLimiter(1)
        self.known_peers: LRUCache[str, None] = LRUCache(KNOWN_PEERS)
        self.single_flight: SingleFlight[Validated] = SingleFlight()
        self.valid: dict[bytes, Validated] = {}
        self.invalid: TLRUCache[bytes, float] = TLRUCache(INVALID_TOKENS, lambda _, until, __: until, clock)
        self.refuse_for = settings.invalid_token_cache_time
        self.ready_until = NEVER

    async def validate(self, token: str | None, path: str, peer: str = "") -> Caller:
        """Return the token's owner.

        :param token: the value of ``X-Auth-Token``.
        :param path: the request's path, which the access rules of an application credential have to allow.
        :param peer: the address of who asked; empty if it is not known.
        :raises Unauthorized: there is no token, or it is not valid for this path.
        :raises KeystoneUnavailable: Keystone does not answer in time, or refuses our own account; or too many tokens
            wait, of this peer or of all.
        """
        if not token:
            raise Unauthorized("the request has no X-Auth-Token")
        digest = hashlib.sha256(token.encode()).digest()
        found = self.valid.get(digest)
        if found and self.clock() < found.until and (found.path is None or found.path == path):
            self.cache_hits.inc()
            return found.caller
        if not TOKEN.fullmatch(token):  # after the cache, which holds well-formed tokens only
            raise Unauthorized("the X-Auth-Token is malformed")
        key = hashlib.sha256(digest + path.encode()).digest()  # hashed, because a stranger chooses the path's length
        if key in self.invalid:
            raise Unauthorized("the X-Auth-Token is not valid")
        was_valid = found is not None
        try:
            found = await self.single_flight.run(
                key,
                lambda: self.validate_once(digest, key, token, path, peer_key(peer), was_valid=was_valid),
                self.timeout,
            )
        except TimeoutError:
            raise KeystoneUnavailable("the token could not be validated in time") from None
        return found.caller

    async def validate_once(
        self, digest: bytes, key: bytes, token: str, path: str, peer: str, *, was_valid: bool
    ) -> Validated:
        """Validate a token when its peer's turn comes. Strangers wait apart from tokens and peers that were good."""
        try:
            async with self.queue.slot(peer, self.timeout, trusted=was_valid or peer in self.known_peers):
                found = await self.measured(token, path)
        except Unauthorized:
            self.invalid[key] = self.clock() + self.refuse_for
            raise
        except QueueFull:
            self.not_validated.inc()
            raise KeystoneUnavailable("too many tokens wait for their validation") from None
        except TimeoutError:
            self.not_validated.inc()
            raise
        self.keep_caller(digest, found)
        self.known_peers[peer] = None
        return found

    def keep_caller(self, digest: bytes, found: Validated) -> None:
        """Cache a caller; when the cache is full, the oldest leaves. A dict is ten times faster than cachetools."""
        self.valid.pop(digest, None)
        if len(self.valid) >= VALID_TOKENS:
            del self.valid[next(iter(self.valid))]
        self.valid[digest] = found

    async def measured(self, token: str, path: str) -> Validated:
        with self.validations.measure():
            return await run_sync(self.call_middleware, token, path, limiter=self.threads)

    def call_middleware(self, token: str, path: str) -> Validated:
        """Validate a token, in a thread, through the middleware's WSGI interface."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path.encode().decode("latin-1"),  # PEP 3333
            "HTTP_X_AUTH_TOKEN": token,
            NO_CACHE: NoCache(),
        }
        setup_testing_defaults(environ)  # what else PEP 3333 requires
        statuses: list[str] = []
        try:
            self.middleware(environ, lambda status, _headers, *_: statuses.append(status))
        except NO_ANSWER as error:
            LOG.warning("Keystone: %s: %s", type(error).__name__, without_secrets(error))
            raise KeystoneUnavailable("the token cannot be validated now") from None
        if statuses[0].startswith("401"):
            raise Unauthorized("the X-Auth-Token is not valid")
        if statuses[0] != ACCEPTED:
            raise KeystoneUnavailable("the token cannot be validated now")
        return self.validated(environ["keystone.token_info"]["token"], path)

    def validated(self, token: dict[str, Any], path: str) -> Validated:
        user, project = token["user"], token.get("project", {})
        lifetime = (datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)).total_seconds()
        rules = token.get("application_credential", {}).get("access_rules")
        return Validated(
            caller=Caller(
                user_id=user["id"],
                user_name=user.get("name"),
                user_domain_id=user.get("domain", {}).get("id"),
                project_id=project.get("id"),
                project_name=project.get("name"),
                project_domain_id=project.get("domain", {}).get("id"),
                roles=tuple(role["name"] for role in token.get("roles", ())),
            ),
            until=self.clock() + min(self.keep_for, lifetime),
            path=None if rules is None else path,
        )

    async def check_ready(self) -> None:
        """Raise KeystoneUnavailable unless a token of our own account can be requested and validated."""
        if self.clock() < self.ready_until:
            return
        try:
            own = await self.single_flight.run(
                "ready", lambda: run_sync(self.validate_own_token, limiter=self.ready_thread), self.timeout
            )
        except (Unauthorized, TimeoutError):
            raise KeystoneUnavailable(NOT_READY) from None
        if self.ready_until == NEVER and VALIDATORS.isdisjoint(own.caller.roles):
            LOG.warning(
                "the account in [keystone_authtoken] has neither the role service nor admin: "
                "Keystone's default policy lets it validate its own tokens only"
            )
        self.ready_until = self.clock() + READY_FOR

    def validate_own_token(self) -> Validated:
        try:
            return self.call_middleware(self.session.get_token() or "", "/")
        except NO_ANSWER as error:
            LOG.warning("Keystone: %s: %s", type(error).__name__, without_secrets(error))
            raise KeystoneUnavailable(NOT_READY) from None
        except Unauthorized:
            self.session.invalidate()  # it was revoked: the next attempt gets a new one
            raise


class NoCache:
    """An empty cache in place of keystonemiddleware's own."""

    def get(self, _: str) -> None:
        """Return nothing."""

    def set(self, *_: object, **__: object) -> None:
        """Store nothing."""


def accept(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response(ACCEPTED, [])
    return []
