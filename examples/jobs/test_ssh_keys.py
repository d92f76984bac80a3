"""The job against a stand-in of a portal: each site has its own."""

import json
from collections.abc import Iterator

import pytest
from vendorsrv.testing import FakeUpstream, ManualClock, Reply, Server, serve
from vendorsrv.testing.upstream import Received

from examples.jobs.ssh_keys import SshKeys

MEMBERS = [{"name": "alice", "ssh_keys": ["ssh-ed25519 AAAAb", "ssh-ed25519 AAAAa"]}, {"name": "bob", "ssh_keys": []}]
KEYS = {"keys": ["ssh-ed25519 AAAAa", "ssh-ed25519 AAAAb"]}


def portal(received: Received) -> Reply:
    """Answer as the portal does."""
    if received.headers.get("Authorization") != "Bearer secret":
        return Reply(status=401)
    is_known = received.path.startswith("/projects/") and received.path.endswith("/members")
    return Reply(json.dumps(MEMBERS).encode()) if is_known else Reply(status=404)


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A portal."""
    with FakeUpstream(reply=portal) as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    """A clock that is moved by hand."""
    return ManualClock()


@pytest.fixture
def server(upstream: FakeUpstream, clock: ManualClock) -> Iterator[Server]:
    """A server for the domain ``default`` and one project of another domain."""
    options = {"url": upstream.base, "token": "secret", "projects": "allowed"}
    with serve(SshKeys, options=options, facts={}, clock=clock) as server:
        yield server


def test_a_project_is_asked_for_once_in_300_seconds(server: Server, upstream: FakeUpstream, clock: ManualClock) -> None:
    """All instances of a project get the keys of its members from one request, for 300 seconds."""
    for number in range(22):
        instance = f"7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c{number:02}"
        assert KEYS == server.ask(instance_id=instance, project_id="shop", hostname=f"web-{number}").json
    assert ["/projects/shop/members"] == [received.path for received in upstream.received]
    clock.advance(301)
    assert KEYS == server.ask(project_id="shop").json
    assert 2 == len(upstream.received)


def test_only_allowed_projects_and_domains_get_keys(server: Server, upstream: FakeUpstream) -> None:
    """A project of another domain gets none, unless it is allowed itself."""
    server.cloud.facts["project"] = {"domain_id": "other"}
    assert {} == server.ask(project_id="shop").json
    assert [] == upstream.received
    assert KEYS == server.ask(project_id="allowed").json


def test_old_keys_are_better_than_none(server: Server, upstream: FakeUpstream, clock: ManualClock) -> None:
    """While the portal is down, instances get the last keys of their project."""
    assert KEYS == server.ask(project_id="shop").json
    clock.advance(301)
    upstream.reply = Reply(status=500)
    assert KEYS == server.ask(project_id="shop").json


@pytest.mark.parametrize("reply", [Reply(status=403), Reply(b"<html>"), Reply(b"", status=302)])
def test_what_the_portal_cannot_answer_is_an_error(server: Server, upstream: FakeUpstream, reply: Reply) -> None:
    """An instance gets no keys, rather than none of the keys, when the portal gives no members."""
    upstream.reply = reply
    assert 502 == server.ask(project_id="shop").status
