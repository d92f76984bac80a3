"""The job against a stand-in of Headscale, which Debian and PyPI do not have, after its API.

https://github.com/juanfont/headscale/blob/main/proto/headscale/v1/preauthkey.proto
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from vendorsrv.testing import FakeUpstream, Reply, Server, nova_body, serve
from vendorsrv.testing.upstream import Received

from examples.jobs.join_token import JoinToken


def headscale(received: Received) -> Reply:
    """Create a key, as POST /api/v1/preauthkey does."""
    if received.headers.get("Authorization") != "Bearer secret":
        return Reply(b"Unauthorized", status=401)
    if (received.method, received.path) != ("POST", "/api/v1/preauthkey"):
        return Reply(b'{"code": 5, "message": "Not Found", "details": []}', status=404)
    asked = json.loads(received.body)
    assert datetime.now(UTC) < datetime.fromisoformat(asked["expiration"]) < datetime.now(UTC) + timedelta(hours=2)
    key = {
        "id": "7",
        "user": {"id": asked["user"]},
        "key": "8f3a",
        "reusable": False,
        "ephemeral": False,
        "used": False,
    }
    return Reply(json.dumps({"preAuthKey": key}).encode())


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """The network's server."""
    with FakeUpstream(reply=headscale) as running:
        yield running


@pytest.fixture
def server(upstream: FakeUpstream) -> Iterator[Server]:
    """A server for it."""
    with serve(JoinToken, options={"url": upstream.base, "api_key": "secret", "user": "1"}) as server:
        yield server


@pytest.mark.parametrize("first", [f"/{JoinToken.name}", "/cloud-init", "/"])
def test_one_key_whichever_targets_ask(server: Server, upstream: FakeUpstream, first: str) -> None:
    """The instance's JSON, its cloud-config and the answer of all handlers have the same key."""
    assert 200 == server.ask(first).status
    assert {"url": upstream.base, "key": "8f3a"} == server.ask().json
    assert {JoinToken.name: {"url": upstream.base, "key": "8f3a"}} == server.ask("/").json
    assert f"tailscale up --login-server {upstream.base} --auth-key 8f3a" in server.ask("/cloud-init").json
    assert 1 == len(upstream.received)


def test_one_key_for_all_requests_at_once(server: Server, upstream: FakeUpstream) -> None:
    """Six requests at once get one key."""
    answers = server.ask_at_once([nova_body()] * 6)
    assert [{"url": upstream.base, "key": "8f3a"}] * 6 == [answer.json for answer in answers]
    assert 1 == len(upstream.received)


def test_headscale_knows_the_deadline(server: Server, upstream: FakeUpstream) -> None:
    """Headscale is told how long the request waits, so that it makes no key for one that is over."""
    server.ask()
    assert upstream.received[0].headers["Grpc-Timeout"] in {"0S", "1S", "2S", "3S"}


@pytest.mark.parametrize("reply", [Reply(status=401), Reply(status=500), Reply(b"Unauthorized")])
def test_no_key_is_an_error_and_not_pinned(server: Server, upstream: FakeUpstream, reply: Reply) -> None:
    """What Headscale fails with reaches Nova, and the next request tries again."""
    upstream.reply = reply
    assert 502 == server.ask().status
    upstream.reply = headscale
    assert "8f3a" == server.ask().json["key"]
