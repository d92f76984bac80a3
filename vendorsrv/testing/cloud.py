"""A fake Nova, Glance and Keystone over HTTP, for the facts of instances and for what handlers ask beside them."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from vendorsrv.testing.bodies import USUAL
from vendorsrv.testing.cloud_facts import API_NAMES, DEFAULTS, OF_ADMIN, SERVER
from vendorsrv.testing.loopback import Loopback
from vendorsrv.testing.upstream import Received, Reply

#: The services by the first member of their paths.
SERVICES: Final = {"identity": "keystone", "compute": "nova", "image": "glance"}
#: What they list, by path.
LISTS: Final = {
    "identity/v3/auth/projects": "projects",
    "compute/v2.1/servers": "servers",
    "image/v2/images": "images",
}
#: How each of them can behave; ``babbling`` is an answer of the wrong shape.
BEHAVIOURS: Final = ("available", "unavailable", "hanging", "failing", "forbidding", "babbling")


class Calls(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    owner: FakeCloud

    def do_GET(self) -> None:
        """Answer as the service that the path names behaves."""
        size = int(self.headers.get("Content-Length", "0"))
        received = Received(self.path, dict(self.headers.items()), self.rfile.read(size), self.command)
        service, _, rest = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        behaviour = self.owner.behaviours[SERVICES[service]]
        if behaviour == "unavailable":
            self.close_connection = True
            return
        if behaviour == "hanging":
            self.owner.over.wait(30)
            self.close_connection = True
            return
        self.give(self.owner.answer(service, rest, received))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def give(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class FakeCloud(Loopback):
    """A Keystone, Nova and Glance that know every instance; a context manager.

    Each instance has the same facts, which are the defaults of this module and what the test gives. They are shown as
    the real services show them: a token for a project sees the servers of this project only, and the compute host's
    name is for the role ``admin``.

    :param facts: attributes by ``server``, ``image`` and ``project``, with openstacksdk's names; None in place of them
        is one that does not exist.
    :param context: for TLS.
    :ivar facts: the same; may be changed at any time. A ``project_id`` of the server is its project whichever is asked
        for; by default it is in the project of the token.
    :ivar behaviours: by ``keystone``, ``nova`` and ``glance`` one of :data:`BEHAVIOURS`; may be changed at any time.
    :ivar roles: the account's in every other project than those of the next: ``reader``, or ``admin`` as well. With
        others, Nova and Glance refuse it.
    :ivar no_role: the projects in which the account has no role.
    :ivar projects: those that Keystone lists for the account, by id; their names are the same. It has its roles in all
        others as well.
    :ivar token_life: seconds until new tokens expire.
    :ivar routes: what else is answered, to a valid token: by method and path, such as ``GET /compute/v2.1/flavors``, a
        Reply or a function that returns one.
    :ivar urls: by service, in place of its own URL in the catalogue of new tokens.
    :ivar asked: how often each of ``token``, ``server``, ``image`` and ``project`` was asked for.
    :ivar most_at_once: the most requests that were in progress at a time.
    :ivar go_on: while it is cleared, whoever asks waits for the answer.
    :ivar microversion: the last one of this Nova, 2.x.
    """

    calls = Calls

    def __init__(
        self, facts: Mapping[str, Mapping[str, Any] | None] | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(context)
        self.facts = {"server": {}, "image": {}, "project": {}, **(facts or {})}
        self.behaviours = dict.fromkeys(SERVICES.values(), "available")
        self.roles: tuple[str, ...] = ("reader",)
        self.no_role: set[str] = set()
        self.projects: Sequence[str] = (USUAL["project-id"], "id-of-service")
        self.token_life = 3600.0
        self.routes: dict[str, Reply | Callable[[Received], Reply]] = {}
        self.urls: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.tokens: dict[str, Mapping[str, Any]] = {}
        self.microversion = 104
        self.busy = self.most_at_once = 0
        self.lock = threading.Lock()
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def options(self) -> dict[str, object]:
        """The options of ``[service_account]`` for it."""
        return {
            "auth_type": "password",
            "auth_url": f"{self.base}/identity/v3",
            "username": "vendorsrv",
            "password": "vendorsrv-password",
            "user_domain_name": "Default",
        }

    def answer(self, service: str, rest: str, received: Received) -> Reply:
        """Return the answer to a request; called in a thread."""
        behaviour = self.behaviours[SERVICES[service]]
        if behaviour in BROKEN:
            return BROKEN[behaviour]
        if service == "identity" and rest in {"v3", "v3/"}:
            links = [{"rel": "self", "href": f"{self.base}/identity/v3/"}]
            return reply({"version": {"id": "v3.14", "status": "stable", "links": links}})
        if (received.method, service, rest) == ("POST", "identity", "v3/auth/tokens"):
            return self.issue(json.loads(received.body)["auth"])
        token = self.tokens.get(received.headers.get("X-Auth-Token", ""))
        if token is None:
            return problem(401)
        with self.lock:
            self.busy += 1
            self.most_at_once = max(self.busy, self.most_at_once)
        try:
            self.go_on.wait(30)
            return self.show(service, rest, received, token)
        finally:
            with self.lock:
                self.busy -= 1

    def issue(self, wanted: Mapping[str, Any]) -> Reply:
        """Return a new token, as ``POST /v3/auth/tokens`` does."""
        self.asked["token"] += 1
        user = wanted["identity"]["password"]["user"]
        project = wanted.get("scope", {}).get("project", {})
        identifier = project.get("id") or f"id-of-{project.get('name')}"
        if user["password"] != self.options["password"] or identifier in self.no_role:
            return problem(401)
        token = {
            "methods": ["password"],
            "user": {"id": "id-of-vendorsrv", "name": user["name"], "domain": {"id": "default", "name": "Default"}},
            "project": {"id": identifier, "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": f"id-of-{role}", "name": role} for role in self.roles],
            "issued_at": stamp(0),
            "expires_at": stamp(self.token_life),
            "audit_ids": ["audit"],
            "catalog": [self.endpoints_of(service) for service in SERVICES],
        }
        name = f"gAAAAAfake{uuid.uuid4().hex}"
        self.tokens[name] = token
        return reply({"token": token}, 201, {"X-Subject-Token": name})

    def endpoints_of(self, service: str) -> dict[str, Any]:
        """Return a service's entry in the catalogue: Nova's URL with a version, the others' without."""
        url = self.urls.get(SERVICES[service]) or f"{self.base}/{service}" + ("/v2.1" if service == "compute" else "")
        endpoint = {"id": service, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}
        return {"type": service, "name": SERVICES[service], "id": service, "endpoints": [endpoint]}

    def show(self, service: str, rest: str, received: Received, token: Mapping[str, Any]) -> Reply:
        """Return what a service shows to the owner of a token."""
        more = self.routes.get(f"{received.method} /{service}/{rest}")
        if more:
            return more if isinstance(more, Reply) else more(received)
        name = LISTS.get(f"{service}/{rest}")
        if service != "identity" and not {"reader", "admin"} & {*self.roles}:
            return problem(403)
        if name and received.method == "GET":
            return self.list_of(name)
        return self.show_one(service, rest, received, token)

    def show_one(self, service: str, rest: str, received: Received, token: Mapping[str, Any]) -> Reply:
        kinds = {"compute": "server", "image": "image", "identity": "project"}
        prefixes = {"server": "v2.1/servers/", "image": "v2/images/", "project": "v3/projects/"}
        kind = kinds[service]
        if received.method != "GET" or not rest.startswith(prefixes[kind]):
            return problem(404)
        self.asked[kind] += 1
        given = self.facts[kind]
        if given is None:
            return problem(404)
        members = {"id": rest.removeprefix(prefixes[kind]), **DEFAULTS[kind], **given}
        if kind == "server":
            return self.show_server(members, received, token)
        members |= members.pop("properties", {})
        return reply(members if kind == "image" else {kind: members}, kind=kind)

    def list_of(self, name: str) -> Reply:
        """Return the first server or image, or the account's projects."""
        if name == "projects":
            return reply({name: [{"id": each, "name": each, "domain_id": "default"} for each in self.projects]})
        known = self.facts[name.removesuffix("s")] is not None
        return reply({name: [{"id": USUAL["instance-id"]}] if known else []})

    def show_server(self, members: dict[str, Any], received: Received, token: Mapping[str, Any]) -> Reply:
        wanted = received.headers.get("X-OpenStack-Nova-API-Version", "2.1").removeprefix("2.")
        microversion = self.microversion if wanted == "latest" else int(wanted)
        if microversion > self.microversion:
            return problem(406)
        of_token = token["project"]["id"]
        is_admin = "admin" in self.roles
        project = members.setdefault("project_id", USUAL["project-id"] if is_admin else of_token)
        if not is_admin:
            if project != of_token:
                return problem(404)
            members = {name: value for name, value in members.items() if name not in OF_ADMIN}
        members.setdefault("host_id", hashlib.sha224(f"{project}{SERVER['compute_host']}".encode()).hexdigest())
        if microversion < 47:
            members["flavor"] = {"id": "1", "links": []}
        return reply({"server": members}, kind="server")


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "") -> Reply:
    """Return an answer in JSON; of a fact, with the names of the API."""
    if kind:
        names = API_NAMES[kind]
        inner = value.get(kind, value)
        inner = {names.get(name, name): each for name, each in inner.items()}
        value = {kind: inner} if kind in value else inner
    return Reply(json.dumps(value).encode(), headers or {}, status)


def problem(status: int) -> Reply:
    """Return an error as OpenStack's services do."""
    return reply({"error": {"code": status, "title": "Error", "message": "as the test has it"}}, status)


def stamp(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


BROKEN: Final = {
    "failing": problem(500),
    "forbidding": problem(403),
    "babbling": Reply(b'{"server": ["<html>"], "project": 1, "version": [], "token": []}'),
}
