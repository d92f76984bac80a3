"""An honest fake of Keystone: the three calls of identity v3 that a server makes, over real HTTP on loopback.

It knows only the tokens that it issued, and can be made to fail in every way that a Keystone fails.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from vendorsrv.testing.loopback import Loopback

#: The account that the server under test has in its ``[keystone_authtoken]``.
ACCOUNT: Final = "vendorsrv"
PASSWORD: Final = "vendorsrv-password"

#: How it can behave: as a good Keystone, or in one of the ways that it fails.
BEHAVIOURS: Final = ("available", "failing", "hanging", "babbling", "refusing us")


class Calls(BaseHTTPRequestHandler):
    """One call. HTTP/1.0: no connection outlives its answer, so that a stopped Keystone is gone at once."""

    owner: FakeKeystone

    def do_GET(self) -> None:
        """Discovery, or the validation of a token."""
        token = self.headers.get("X-Subject-Token")
        if token is not None:
            self.owner.validations[token] += 1
        if not self.behaves():
            return
        if token is not None and token not in self.owner.tokens:
            self.owner.strangers_go_on.wait(60)
        if token is None:
            self.answer(200, {"version": self.version()})
        elif self.headers.get("X-Auth-Token") not in self.owner.tokens:
            self.refuse(401, "The request you have made requires authentication.")
        elif token not in self.owner.tokens:
            self.refuse(404, f"Could not find token: {token}.")
        else:
            self.answer(200, {"token": self.owner.tokens[token]})

    def do_POST(self) -> None:
        """A token for name and password."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.logins += 1
        if not self.behaves():
            return
        user = asked["auth"]["identity"]["password"]["user"]
        if (user["name"], user["password"]) != (ACCOUNT, PASSWORD) or self.owner.behaviour == "refusing us":
            self.refuse(401, "The request you have made requires authentication.")
            return
        token = self.owner.issue(self.owner.our_role)
        self.answer(201, {"token": self.owner.tokens[token]}, {"X-Subject-Token": token})

    def behaves(self) -> bool:
        """Fail as the test wants it, or say that there is an answer to give."""
        keystone = self.owner
        if keystone.delay:
            time.sleep(keystone.delay)
        keystone.goes_on.wait(60)
        if keystone.behaviour == "hanging":
            keystone.over.wait(60)
            return False
        if keystone.behaviour == "failing":
            self.refuse(500, "An unexpected error prevented the server from fulfilling your request.")
            return False
        if keystone.behaviour == "babbling":
            self.send(200, b"<html>Welcome to the load balancer</html>", {"Content-Type": "application/json"})
            return False
        return True

    def version(self) -> dict[str, Any]:
        """What discovery says."""
        return {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self.owner.url}/"}]}

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error in Keystone's form."""
        self.answer(status, {"error": {"code": status, "title": "Error", "message": message}})

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Answer with bytes; whoever gave up waiting is let go."""
        with suppress(OSError):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class FakeKeystone(Loopback):
    """A Keystone on a free loopback port; a context manager.

    :ivar behaviour: one of :data:`BEHAVIOURS`; may be changed at any time.
    :ivar our_role: the role of :data:`ACCOUNT`.
    :ivar delay: seconds that it takes for each answer.
    :ivar goes_on: while it is cleared, whoever asks waits for the answer.
    :ivar strangers_go_on: while it is cleared, whoever asks about a token that it did not issue waits for the answer.
    :ivar validations: how often each token was asked about.
    :ivar logins: how often somebody asked for a token.
    """

    calls = Calls

    def __init__(self) -> None:
        super().__init__()
        self.behaviour = "available"
        self.our_role = "service"
        self.delay = 0.0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.strangers_go_on = threading.Event()
        self.strangers_go_on.set()
        self.tokens: dict[str, dict[str, Any]] = {}
        self.validations: Counter[str] = Counter()
        self.logins = 0

    @property
    def url(self) -> str:
        """What stands in ``auth_url``."""
        return f"{self.base}/v3"

    def issue(
        self,
        *roles: str,
        project: str = "service",
        seconds: float = 3600,
        paths: Sequence[str] | None = None,
        token: str | None = None,
    ) -> str:
        """Make a token known.

        :param seconds: until it expires.
        :param paths: those of the access rules, when it is the token of an application credential that has some.
        """
        token = token or f"gAAAAAfake{uuid.uuid4().hex}"
        body: dict[str, Any] = {
            "methods": ["password"],
            "user": {"id": f"id-of-{project}-user", "name": "user", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": f"id-of-{project}", "name": project, "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": f"id-of-{name}", "name": name} for name in roles],
            "issued_at": stamp(0),
            "expires_at": stamp(seconds),
            "audit_ids": ["audit"],
            "catalog": self.catalog(),
        }
        if paths is not None:
            rules = [{"service": "vendordata", "method": "POST", "path": path} for path in paths]
            body["application_credential"] = {"id": "a", "name": "a", "restricted": True, "access_rules": rules}
        self.tokens[token] = body
        return token

    def revoke(self, token: str) -> None:
        """Forget a token."""
        del self.tokens[token]

    def catalog(self) -> list[dict[str, Any]]:
        """The services that tokens tell of: itself, and the one that access rules are for."""
        return [
            {
                "type": kind,
                "name": kind,
                "id": kind,
                "endpoints": [
                    {"id": f"{kind}-{interface}", "interface": interface, "region": "R", "region_id": "R", "url": url}
                    for interface in ("public", "internal", "admin")
                ],
            }
            for kind, url in (("identity", self.url), ("vendordata", "http://vendordata.example"))
        ]


def stamp(seconds: float) -> str:
    """A time that many seconds from now, as Keystone writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
