"""At debug level, whatever happens: no token, no password, no user-data and no answer in the server's log."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from tests.support.keystone import NOVA, TENANT, Keystone
from tests.support.peers.handlers import names
from tests.support.peers.server import Options, Server
from tests.support.waiting import wait_until

#: Part of every value that must not be logged; and how its base64 begins.
SECRET: Final = "planted"
ENCODED: Final = base64.b64encode(SECRET.encode()).decode()[:8]
#: How every token of Keystone's begins.
FERNET: Final = "gAAAA"

INSTANCE: Final[Mapping[str, Any]] = {
    "project-id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e",
    "instance-id": "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0b",
    "image-id": "",
    "user-data": base64.b64encode(b"planted-user-data").decode(),
    "hostname": "mail-1",
    "metadata": {"planted-key": "planted-value", "answer": '{"a": ["planted-answer"]}'},
    "boot-roles": "member,mail-admin",
    "newer": {"planted-member": "planted-extra"},
}


class Case(NamedTuple):
    """One request, and the status of its answer."""

    status: int
    body: bytes
    path: str = "/received"
    token: str | None = "nova"
    content_type: str = "application/json"


def body(**changes: Any) -> bytes:
    """The instance's body with other members, ``_`` standing for ``-``."""
    return json.dumps({**INSTANCE, **{name.replace("_", "-"): value for name, value in changes.items()}}).encode()


def answering(text: str) -> bytes:
    """The body of an instance for which the handler ``echo`` answers this."""
    return body(metadata={"answer": text})


CASES: Final = (
    Case(200, body()),
    Case(200, body(), "/echo"),
    Case(200, body(), "/mailserver"),
    Case(200, body(), "/echo?planted=1"),
    Case(500, body(), "/"),
    Case(500, body(), "/broken"),
    Case(500, body(), "/broken-in-thread"),
    Case(500, body(boot_roles="planted-role"), "/no-json"),
    Case(500, answering('["planted", NaN]'), "/echo"),
    Case(500, answering('["planted", "planted\\ud800"]'), "/echo"),
    Case(500, answering(json.dumps("planted" * 200)), "/echo"),
    Case(500, answering("planted"), "/echo"),
    Case(404, body(), "/nosuch"),
    Case(404, body(), "/no/such"),
    Case(400, b""),
    Case(400, b'{"planted'),
    Case(400, b'["planted"]'),
    Case(400, b'{"user-data": "planted", "user-data": "planted"}'),
    Case(400, b'{"user-data": ["planted", NaN]}'),
    Case(400, b'{"user-data": "planted\xff"}'),
    Case(400, b'{"user-data": "planted\\ud800"}'),
    Case(400, body(instance_id="planted")),
    Case(400, body(hostname="planted\n")),
    Case(400, body(user_data={"planted": "planted"})),
    Case(400, body(user_data="planted!")),
    Case(400, body(metadata={"planted": ["planted"]})),
    Case(400, body(metadata="planted")),
    Case(400, body(boot_roles=["planted"])),
    Case(413, body(user_data=SECRET * 1000)),
    Case(415, body(), content_type="text/planted"),
    Case(403, body(), token="tenant"),
    Case(401, body(), token=None),
    Case(401, body(), token="revoked"),
    Case(401, body(), token="foreign"),
    Case(401, body(), token="malformed"),
)
OUTAGE: Final = (Case(503, body(), token="new"), Case(200, body()))


class Story(NamedTuple):
    """What one server answered, and what it logged meanwhile."""

    responses: list[httpx.Response]
    log: str


@pytest.fixture(scope="module")
def stories(
    keystone: Keystone, second_keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Story]]:
    """All cases, told to a server that logs text and to one that logs JSON."""
    tokens = tokens_of(second_keystone, foreign=keystone.token(NOVA))
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(logging_server(tmp_path_factory.mktemp(name), second_keystone, use_json))
            for name, use_json in (("text", False), ("json", True))
        }
        told = {name: [ask(server, case, tokens) for case in CASES] for name, server in servers.items()}
        second_keystone.stop()
        stack.callback(second_keystone.revive)
        for name, server in servers.items():
            told[name] += [ask(server, case, tokens) for case in OUTAGE]
            wait_until(lambda server=server: not server.ready())  # type: ignore[misc]
        yield {name: Story(told[name], server.log) for name, server in servers.items()}


def logging_server(directory: Path, keystone: Keystone, use_json: bool) -> Server:
    """A server at debug level."""
    options: Options = {
        "DEFAULT": {"debug": True, "use_json": use_json},
        "vendorsrv": {"handlers": names(), "max_body_bytes": 4096, "max_answer_bytes": 1024},
    }
    return Server(directory, keystone, options)


def tokens_of(keystone: Keystone, foreign: str) -> dict[str, str]:
    """Tokens by the names that the cases have for them."""
    tokens = {name: keystone.token(NOVA) for name in ("nova", "new", "revoked")}
    keystone.revoke(tokens["revoked"])
    return {**tokens, "tenant": keystone.token(TENANT), "foreign": foreign, "malformed": f"{SECRET} {FERNET}"}


def ask(server: Server, case: Case, tokens: Mapping[str, str]) -> httpx.Response:
    """Send one case."""
    token = tokens[case.token] if case.token else None
    return server.post(case.path, token, case.body, **{"Content-Type": case.content_type})


FORMATS: Final = pytest.mark.parametrize("name", ["text", "json"])


@FORMATS
def test_every_case_is_answered(stories: dict[str, Story], name: str) -> None:
    """Each request has the expected outcome, so that its lines are in the log."""
    assert [case.status for case in CASES + OUTAGE] == [each.status_code for each in stories[name].responses]


@FORMATS
def test_no_secret_is_logged(stories: dict[str, Story], name: str) -> None:
    """No line at any level has a token, a password, user-data, metadata or an answer."""
    lines = stories[name].log.splitlines()
    assert [] == [line for line in lines if any(each in line for each in (SECRET, ENCODED, FERNET, "-password"))]


@FORMATS
def test_no_error_has_a_secret(stories: dict[str, Story], name: str) -> None:
    """No error that a tenant may see has a value of the request."""
    errors = [response.text for response in stories[name].responses if response.status_code != 200]
    assert [] == [text for text in errors if any(each in text for each in (SECRET, ENCODED, FERNET))]


@FORMATS
def test_every_request_is_logged(stories: dict[str, Story], name: str) -> None:
    """The log has each response's id, and the libraries' debug lines."""
    ids = [response.headers["X-Openstack-Request-Id"] for response in stories[name].responses]
    assert [] == [each for each in ids if each not in stories[name].log]
    assert "DEBUG" in stories[name].log


def test_json_lines_are_json(stories: dict[str, Story]) -> None:
    """Each line of a JSON log is one object."""
    lines = [json.loads(line) for line in stories["json"].log.splitlines()]
    assert {"vendorsrv.access", "vendorsrv.handlers.runner"} <= {line["name"] for line in lines}
