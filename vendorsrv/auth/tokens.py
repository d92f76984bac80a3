"""A token in, the caller out: keystonemiddleware behind a cache, so that Keystone is asked once for each token."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from cachetools import TLRUCache
from keystoneauth1.exceptions import ClientException
from keystonemiddleware.auth_token import AuthProtocol

from vendorsrv.auth.options import NO_CACHE, own_session, register
from vendorsrv.concurrency import SingleFlight
from vendorsrv.errors import KeystoneUnavailable, Unauthorized
from vendorsrv.request import Caller
from vendorsrv.settings import Settings
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)
#: Below warnings these repeat what Keystone answered, and older Keystones put the token into it.
TALKATIVE: Final = ("keystonemiddleware.auth_token", "keystoneauth.session")

#: Keystone is away or refuses us; or a CA file cannot be read (requests); or something else answers in Keystone's
#: place (keystoneclient takes every answer for Keystone's).
NO_ANSWER: Final = (ClientException, OSError, ValueError, LookupError, TypeError, AttributeError)

#: Fernet and JWS tokens fit; white space never reaches Keystone, which would answer it with 503.
TOKEN: Final = re.compile(r"[!-~]{1,8192}")
VALID_TOKENS: Final = 16_384
INVALID_TOKENS: Final = 4_096
#: Seconds for which what `ready` found out about Keystone is not asked again.
READY_FOR: Final = 2.0
#: Roles of which one lets an account validate the tokens of others (Keystone's identity:validate_token).
VALIDATORS: Final = frozenset({"service", "admin"})


@dataclass(frozen=True, slots=True)
class Validated:
    """A caller whom Keystone knows.

    :ivar until: on the monotonic clock, when Keystone has to be asked again.
    :ivar path: the one path that the token is good for, when it has access rules; else None.
    """

    caller: Caller
    until: float
    path: str | None


class Authenticator:
    """Says whose token it is; one for each worker.

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
        self.keep_for, self.challenge = register(conf)
        self.session = own_session(conf)
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self.middleware = AuthProtocol(accept, {"oslo_config_config": conf})
        self.timeout = min(settings.auth_timeout, settings.request_timeout)
        self.clock = clock
        self.threads = anyio.CapacityLimiter(settings.auth_threads)
        self.single_flight: SingleFlight[Validated] = SingleFlight()
        self.valid: dict[bytes, Validated] = {}
        self.invalid: TLRUCache[bytes, float] = TLRUCache(INVALID_TOKENS, lambda _, until, __: until, clock)
        self.refuse_for = settings.invalid_token_cache_time
        self.ready_until = -1.0
        self.may_validate: bool | None = None

    async def validate(self, token: str | None, path: str) -> Caller:
        """Say whose token it is.

        :param token: the value of ``X-Auth-Token``.
        :param path: the request's path; access rules of application credentials are matched against it.
        :raises Unauthorized: there is no token, or Keystone does not accept it here and now.
        :raises KeystoneUnavailable: Keystone cannot be asked, does not answer in time, or refuses our own account.
        """
        if not token:
            raise Unauthorized("the request has no X-Auth-Token")
        digest = hashlib.sha256(token.encode()).digest()
        found = self.valid.get(digest)
        if found and self.clock() < found.until and (found.path is None or found.path == path):
            self.cache_hits.inc()
            return found.caller
        if not TOKEN.fullmatch(token):  # not before: what Keystone once accepted is well formed
            raise Unauthorized("the X-Auth-Token is malformed")
        return (await self.join(digest, token, path)).caller

    async def join(self, digest: bytes, token: str, path: str) -> Validated:
        key = hashlib.sha256(digest + path.encode()).digest()  # of one length: a stranger chooses the path
        if key in self.invalid:
            raise Unauthorized("the X-Auth-Token is not valid")
        try:
            with anyio.fail_after(self.timeout):
                return await self.single_flight.run(key, lambda: self.ask_once(digest, key, token, path))
        except TimeoutError:
            raise KeystoneUnavailable("the token could not be validated in time") from None

    async def ask_once(self, digest: bytes, key: bytes, token: str, path: str) -> Validated:
        try:
            with self.validations.measure():
                found = await self.in_thread(self.ask, token, path)
        except Unauthorized:
            self.invalid[key] = self.clock() + self.refuse_for
            raise
        self.keep_caller(digest, found)
        return found

    def keep_caller(self, digest: bytes, found: Validated) -> None:
        """Keep a caller, the oldest one out: a plain dict is asked ten times faster than any of cachetools."""
        self.valid.pop(digest, None)
        if len(self.valid) >= VALID_TOKENS:
            del self.valid[next(iter(self.valid))]
        self.valid[digest] = found

    async def in_thread(self, function: Callable[..., Validated], *arguments: str) -> Validated:
        # anyio's deadline ends the waiting for a thread, but never frees the place of one that is still at work.
        with anyio.fail_after(self.timeout):
            return await run_sync(function, *arguments, limiter=self.threads)

    def ask(self, token: str, path: str) -> Validated:
        """Ask Keystone, in a thread, through the middleware's WSGI interface."""
        environ = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path.encode().decode("latin-1"),  # PEP 3333
            "QUERY_STRING": "",
            "SERVER_NAME": "vendorsrv",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_X_AUTH_TOKEN": token,
            NO_CACHE: NoCache(),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        statuses: list[str] = []
        try:
            self.middleware(environ, lambda status, _headers, *_: statuses.append(status))
        except NO_ANSWER as error:
            LOG.warning("Keystone: %s: %s", type(error).__name__, error)
            raise KeystoneUnavailable("the token cannot be validated now") from None
        if statuses[0].startswith("401"):
            raise Unauthorized("the X-Auth-Token is not valid")
        if ACCEPTED not in environ:
            raise KeystoneUnavailable("the token cannot be validated now")
        return self.keep(environ["keystone.token_info"], path)

    def keep(self, token_info: Any, path: str) -> Validated:
        token = token_info["token"]
        lifetime = (datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)).total_seconds()
        rules = token.get("application_credential", {}).get("access_rules")
        return Validated(
            caller=caller_of(token),
            until=self.clock() + min(self.keep_for, lifetime),
            path=None if rules is None else path,
        )

    async def check_ready(self) -> None:
        """Do once what a request does: get a token for our own account, and have Keystone validate it.

        :raises KeystoneUnavailable: a request could not be authenticated now.
        """
        if self.clock() < self.ready_until:
            return
        try:
            with anyio.fail_after(self.timeout):
                ourselves = await self.single_flight.run("ready", lambda: self.in_thread(self.ask_about_ourselves))
        except (Unauthorized, TimeoutError):
            raise KeystoneUnavailable(
                "Keystone does not answer, or refuses the account in [keystone_authtoken]"
            ) from None
        self.ready_until = self.clock() + READY_FOR
        if self.may_validate is None:
            self.may_validate = not VALIDATORS.isdisjoint(ourselves.caller.roles)
            if not self.may_validate:
                LOG.warning(
                    "the account in [keystone_authtoken] has neither the role service nor admin: "
                    "by its default policy, Keystone lets it validate no token but its own"
                )

    def ask_about_ourselves(self) -> Validated:
        try:
            return self.ask(self.session.get_token() or "", "/")
        except NO_ANSWER as error:
            LOG.warning("Keystone: %s: %s", type(error).__name__, error)
            raise KeystoneUnavailable(
                "Keystone does not answer, or refuses the account in [keystone_authtoken]"
            ) from None
        except Unauthorized:
            self.session.invalidate()  # revoked under us: the next attempt gets a new one
            raise


class NoCache:
    """Stands where keystonemiddleware would keep its own copy of each token."""

    def get(self, _: str) -> None:
        """Never have anything."""

    def set(self, *_: object, **__: object) -> None:
        """Keep nothing."""


ACCEPTED: Final = "vendorsrv.accepted"


def accept(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    environ[ACCEPTED] = True
    start_response("204 No Content", [])
    return []


def caller_of(token: dict[str, Any]) -> Caller:
    user, project = token["user"], token.get("project", {})
    return Caller(
        user_id=user["id"],
        user_name=user.get("name"),
        user_domain_id=user.get("domain", {}).get("id"),
        project_id=project.get("id"),
        project_name=project.get("name"),
        project_domain_id=project.get("domain", {}).get("id"),
        roles=tuple(role["name"] for role in token.get("roles", ())),
    )
