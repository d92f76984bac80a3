"""The talk with a server in which the contract's cases are tried: who asks, what is asked, and what was answered."""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from keystoneauth1.session import Session

from vendorsrv.contract.wire import Exchange, Question, Wire
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import NOVA_DEFAULTS, Limits, Target
from vendorsrv.nova.credentials import authenticate, one_line

#: Whose token a request has; the last four are no tokens.
Kind = Literal["valid", "tenant", "none", "empty", "garbage", "spaced"]
#: Where a token is from: a session that gets one, the token itself, or nobody.
Credentials = Session | str | None

KINDS: Final[dict[Kind, str]] = {
    "valid": "a valid token",
    "tenant": "a tenant's valid token",
    "none": "no token",
    "empty": "an empty token",
    "garbage": "a token that Keystone never issued",
    "spaced": "a token with a space in it",
}
NO_CREDENTIALS: Final = (
    "it needs a valid token: give the credentials of Nova's account, by OS_* variables, --os-cloud or --nova-conf"
)
NO_TENANT: Final = "it needs a tenant's valid token: name a cloud of clouds.yaml with --tenant-os-cloud"
#: What is no JSON: Nova's body, cut in the middle.
CUT: Final = b'{"instance-id": "6f3c2b1a-9d8e-4f70'
#: How often Nova asks for one config drive, once for each metadata version.
CALLS: Final = 6
#: Seconds after which no further request is made.
BUDGET: Final = 120.0


class NotTested(Exception):
    """A case cannot be decided; its text says why, and what to give if that would help."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that is held to the contract, and what is needed to ask it.

    :ivar target: ``[NAME@]URL``, as in Nova's ``vendordata_dynamic_targets``.
    :ivar name: goes before the name in it.
    :ivar caller: whose token Nova would send.
    :ivar tenant: whose token must be refused, however valid.
    :ivar payload: members of Nova's body that are to be as given; with an ``instance-id`` among them no other
        instance is asked for. By default instances are made up.
    :ivar budget: seconds after which no further request is made.
    """

    target: str
    name: str | None = None
    caller: Credentials = field(default=None, repr=False)
    tenant: Credentials = field(default=None, repr=False)
    limits: Limits = NOVA_DEFAULTS
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    budget: float = BUDGET


class Talk:
    """All that is asked of one server; the same request is sent only once, and none after the time is up.

    :ivar requests: how many were sent.
    :raises ConfigError: the target is none, Keystone gives no token, or nobody can be reached, by TCP or by TLS.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.target = Target.parse(subject.target, subject.name)
        self.tokens = tokens_of(subject)
        client = subject.caller if isinstance(subject.caller, Session) else None
        self.wire = Wire(self.target, subject.limits, client)
        self.payload = {**typical_payload(), **subject.payload}
        self.said: dict[tuple[str, Kind], Exchange] = {}
        self.requests = 0
        self.until = time.monotonic() + subject.budget
        first = self.ask_with("none")
        if first.never_connected:
            raise ConfigError(f"{one_line(self.target.url)} cannot be asked: {first}")

    @property
    def can_ask(self) -> bool:
        """Whether there is a token to ask with, or the server asks for none."""
        return "valid" in self.tokens or self.ask_with("none").answered

    @property
    def kind(self) -> Kind:
        """Whose token makes the server answer: Nova's, or nobody's when it asks for none and none was given."""
        return "none" if "valid" not in self.tokens and self.can_ask else "valid"

    @property
    def usual(self) -> Exchange:
        """What comes for Nova's usual body.

        :raises NotTested: a token is needed for it, and there is none.
        """
        return self.ask_with(self.kind)

    @property
    def good(self) -> Exchange:
        """What comes for Nova's usual body, if that is an answer.

        :raises NotTested: it is none, which other cases are about.
        """
        self.insist()
        return self.usual

    def insist(self) -> None:
        """Go on only with a server that answers Nova's usual request well.

        :raises NotTested: it does not, so nothing would be learnt.
        """
        if not self.usual.answered:
            raise NotTested(f"Nova's usual request has no good answer: {self.usual}")

    @cached_property
    def row(self) -> list[Exchange]:
        """The six calls of one config drive, one after the other over one connection.

        :raises NotTested: Nova's usual request has no good answer.
        """
        self.insist()
        words = f"Nova's usual body, {CALLS} times over one connection"
        question = self.question(words, self.kind, encoded(self.payload))
        self.spend(CALLS)
        return self.wire.row(question, CALLS)

    @cached_property
    def burst(self) -> list[Exchange]:
        """Six calls at once, for an instance that was not asked for before.

        :raises NotTested: Nova's usual request has no good answer.
        """
        self.insist()
        words = f"Nova's body for a new instance, {CALLS} times at once"
        question = self.question(words, self.kind, encoded(self.another()))
        self.spend(CALLS)
        return self.wire.burst(question, CALLS)

    def ask_with(self, kind: Kind) -> Exchange:
        """Send Nova's usual body with a token of some kind."""
        return self.ask("Nova's usual body", encoded(self.payload), kind)

    def vary(self, words: str, members: Mapping[str, Any], without: Sequence[str] = ()) -> Exchange:
        """Send Nova's body for another instance, with some members changed.

        :param words: what is changed, after "Nova's body".
        :raises NotTested: Nova's usual request has no good answer, so nothing would be learnt.
        """
        self.insist()
        payload = {**self.another(), **members}
        sent = {name: value for name, value in payload.items() if name not in without}
        return self.ask(f"Nova's body {words}", encoded(sent), self.kind)

    def another(self) -> dict[str, Any]:
        """Give the usual body, for an instance that was not asked for before if one may be made up."""
        return {**self.payload, "instance-id": str(uuid.uuid4()), **self.subject.payload}

    def ask(self, words: str, body: bytes, kind: Kind, method: str = "POST") -> Exchange:
        """Send a request, unless one of the same words was sent before with a token of the same kind."""
        if (words, kind) not in self.said:
            question = self.question(words, kind, body, method)
            self.spend(1)
            self.said[words, kind] = self.wire.send(question)
        return self.said[words, kind]

    def question(self, words: str, kind: Kind, body: bytes, method: str = "POST") -> Question:
        """Make a request.

        :raises NotTested: there is no token of this kind.
        """
        if kind not in self.tokens:
            raise NotTested(NO_TENANT if kind == "tenant" else NO_CREDENTIALS)
        return Question(f"{method} {words}, {KINDS[kind]}", self.target.url, body, self.tokens[kind], method)

    def spend(self, requests: int) -> None:
        if self.requests and time.monotonic() > self.until:
            raise NotTested(f"the run had taken its {self.subject.budget:g} s")
        self.requests += requests


def tokens_of(subject: Subject) -> dict[Kind, str | None]:
    tokens: dict[Kind, str | None] = {
        "none": None,
        "empty": "",
        "garbage": f"gAAAAAB{secrets.token_urlsafe(120)}",  # as a Fernet token looks
        "spaced": f"gAAAAAB{secrets.token_urlsafe(16)} {secrets.token_urlsafe(16)}",
    }
    given: dict[Kind, Credentials] = {"valid": subject.caller, "tenant": subject.tenant}
    return tokens | {kind: token for kind, who in given.items() if (token := token_of(who))}


def token_of(who: Credentials) -> str | None:
    """Give a token, or None for nobody and for a session without an account.

    :raises ConfigError: Keystone gives none.
    """
    if not isinstance(who, Session):
        return who
    authenticate(who)
    return None if who.auth is None else who.get_token()


def typical_payload() -> dict[str, Any]:
    """Make up an instance of a tenant's, with every member that Nova sends."""
    return {
        "project-id": uuid.uuid4().hex,
        "instance-id": str(uuid.uuid4()),
        "image-id": str(uuid.uuid4()),
        "user-data": base64.b64encode(b"#cloud-config\n").decode("ascii"),
        "hostname": "vendorsrv-contract",
        "metadata": {"tier": "gold"},
        "boot-roles": "member,reader",
    }


def encoded(payload: Any) -> bytes:
    """Write a body as Nova does."""
    return json.dumps(payload).encode("ascii")
