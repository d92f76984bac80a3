"""The requests that the contract's cases share: each is sent once to the server under test, and remembered."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from keystoneauth1.session import Session as KeystoneSession

from vendorsrv.contract.wire import Exchange, Request, Wire
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import NOVA_DEFAULTS, Limits, Target
from vendorsrv.nova.credentials import authenticate, one_line
from vendorsrv.nova.payload import build_payload

#: The token that a request has; the last four are not valid.
TokenKind = Literal["valid", "tenant", "none", "empty", "garbage", "spaced"]
#: Where a token comes from: a session that gets one, the token itself, or nowhere.
Credentials = KeystoneSession | str | None

TOKENS: Final[dict[TokenKind, str]] = {
    "valid": "a valid token",
    "tenant": "a tenant's valid token",
    "none": "no token",
    "empty": "an empty token",
    "garbage": "a token that Keystone never issued",
    "spaced": "a token with a space in it",
}
NO_CREDENTIALS: Final = (
    "this needs a valid token: give the credentials of Nova's account by OS_* variables, --os-cloud or --nova-conf"
)
NO_TENANT: Final = "this needs a tenant's valid token: name a cloud of clouds.yaml with --tenant-os-cloud"
#: Invalid JSON: Nova's body, cut in the middle.
CUT: Final = b'{"instance-id": "6f3c2b1a-9d8e-4f70'
#: The calls that Nova makes for one config drive, one for each metadata version.
CALLS: Final = 6
#: Seconds after which no further request is made.
BUDGET: Final = 120.0


class NotTested(Exception):
    """A case cannot be decided; the message says why, and which option would help."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server to check, and what is needed to call it.

    :ivar target: ``[NAME@]URL``, as in Nova's ``vendordata_dynamic_targets``.
    :ivar name: overrides the name in the target.
    :ivar caller: the account whose token Nova sends.
    :ivar tenant: an account whose token is valid and must be refused.
    :ivar payload: members of Nova's body to send unchanged. With an ``instance-id`` among them, no other instance is
        used; by default instances are invented.
    :ivar budget: seconds after which no further request is sent.
    """

    target: str
    name: str | None = None
    caller: Credentials = field(default=None, repr=False)
    tenant: Credentials = field(default=None, repr=False)
    limits: Limits = NOVA_DEFAULTS
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    budget: float = BUDGET


class ContractSession:
    """The requests to one server, and its answers; a request is sent only once, and none after the deadline.

    :raises ConfigError: the target is invalid, Keystone gives no token, or no connection to the server can be made.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.target = Target.parse(subject.target, subject.name)
        self.tokens = tokens_of(subject)
        client = subject.caller if isinstance(subject.caller, KeystoneSession) else None
        self.wire = Wire(self.target, subject.limits, client)
        invented = build_payload(
            image_id=str(uuid.uuid4()),
            hostname="vendorsrv-contract",
            user_data=b"#cloud-config\n",
            metadata={"tier": "gold"},
            boot_roles="member,reader",
        )
        self.payload = {**invented, **subject.payload}
        self.exchanges: dict[tuple[str, TokenKind], Exchange] = {}
        self.requests = 0
        self.deadline = time.monotonic() + subject.budget
        first = self.ask_with("none")
        if first.never_connected:
            raise ConfigError(f"{one_line(self.target.url)} cannot be called: {first}")

    @property
    def can_ask(self) -> bool:
        """Whether the server can be called: with a valid token, or without one if it requires none."""
        return "valid" in self.tokens or self.ask_with("none").answered

    @property
    def token_kind(self) -> TokenKind:
        """The token of ordinary requests: Nova's, or none if none was given and the server requires none."""
        return "none" if "valid" not in self.tokens and self.can_ask else "valid"

    @property
    def usual(self) -> Exchange:
        """The answer to Nova's usual body; NotTested if the server requires a token and none was given."""
        return self.ask_with(self.token_kind)

    @property
    def good(self) -> Exchange:
        """The answer to Nova's usual body; NotTested if it is not a good one, which other cases report."""
        self.require_good_answer()
        return self.usual

    def require_good_answer(self) -> None:
        """Raise NotTested if the server does not answer Nova's usual request: a case would show nothing new."""
        if not self.usual.answered:
            raise NotTested(f"Nova's usual request has no good answer: {self.usual}")

    @cached_property
    def sequence(self) -> list[Exchange]:
        """The six calls of one config drive over one connection; NotTested without a good answer to the usual one."""
        self.require_good_answer()
        description = f"Nova's usual body, {CALLS} times over one connection"
        request = self.request(description, self.token_kind, encoded(self.payload), times=CALLS)
        return self.wire.sequence(request, CALLS)

    @cached_property
    def burst(self) -> list[Exchange]:
        """Six calls at once, for a new instance; NotTested without a good answer to the usual one."""
        self.require_good_answer()
        description = f"Nova's body for a new instance, {CALLS} times at once"
        request = self.request(description, self.token_kind, encoded(self.new_instance()), times=CALLS)
        return self.wire.burst(request, CALLS)

    def ask_with(self, kind: TokenKind) -> Exchange:
        """Send Nova's usual body with one kind of token."""
        return self.ask("Nova's usual body", encoded(self.payload), kind)

    def vary(self, description: str, members: Mapping[str, Any], without: Sequence[str] = ()) -> Exchange:
        """Send Nova's body for another instance, with some members changed.

        :param description: the change, as a continuation of "Nova's body".
        :raises NotTested: Nova's usual request has no good answer.
        """
        self.require_good_answer()
        payload = {**self.new_instance(), **members}
        sent = {name: value for name, value in payload.items() if name not in without}
        return self.ask(f"Nova's body {description}", encoded(sent), self.token_kind)

    def new_instance(self) -> dict[str, Any]:
        """Return the usual body for a new instance, or for the given one if there is one."""
        return {**self.payload, "instance-id": str(uuid.uuid4()), **self.subject.payload}

    def ask(self, description: str, body: bytes, kind: TokenKind, method: str = "POST") -> Exchange:
        """Send a request, or return the exchange of an earlier one with the same description and token."""
        if (description, kind) not in self.exchanges:
            self.exchanges[description, kind] = self.wire.send(self.request(description, kind, body, method))
        return self.exchanges[description, kind]

    def request(
        self, description: str, kind: TokenKind, body: bytes, method: str = "POST", *, times: int = 1
    ) -> Request:
        """Return a request that is about to be sent; NotTested if no such token was given, or the time is up."""
        if kind not in self.tokens:
            raise NotTested(NO_TENANT if kind == "tenant" else NO_CREDENTIALS)
        if self.requests and time.monotonic() > self.deadline:
            raise NotTested(f"the time limit of {self.subject.budget:g} s was reached")
        self.requests += times
        return Request(f"{method} {description}, {TOKENS[kind]}", self.target.url, body, self.tokens[kind], method)


def tokens_of(subject: Subject) -> dict[TokenKind, str | None]:
    """Return the token of each kind that was given or can be invented; ConfigError if Keystone gives none."""
    tokens: dict[TokenKind, str | None] = {
        "none": None,
        "empty": "",
        "garbage": f"gAAAAAB{secrets.token_urlsafe(120)}",  # as a Fernet token looks
        "spaced": f"gAAAAAB{secrets.token_urlsafe(16)} {secrets.token_urlsafe(16)}",
    }
    given: dict[TokenKind, Credentials] = {"valid": subject.caller, "tenant": subject.tenant}
    return tokens | {kind: token for kind, who in given.items() if (token := token_of(who))}


def token_of(who: Credentials) -> str | None:
    if not isinstance(who, KeystoneSession):
        return who
    authenticate(who)
    return None if who.auth is None else who.get_token()


def encoded(payload: Any) -> bytes:
    return json.dumps(payload).encode("ascii")
