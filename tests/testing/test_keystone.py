"""The fake Keystone: a server takes its tokens for real ones, and notices when it is away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import real_peers as peers
from vendorsrv import Handler, VendordataRequest
from vendorsrv.testing import FakeKeystone, Server, serve


class Whose(Handler):
    """Says who asks."""

    async def handle(self, request: VendordataRequest) -> dict[str, object]:
        """Return the caller."""
        assert request.caller
        caller = request.caller
        return {"user": caller.user_name, "project": caller.project_name, "roles": list(caller.roles)}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that says who asks."""
    with serve(Whose) as running:
        yield running


def test_a_token_has_the_owner_that_the_test_sets(server: Server) -> None:
    """A token has the roles, project and user that the test sets; by default Nova's user."""
    token = server.keystone.issue("admin", "member", project="service", user="nova-cell1")
    assert {"user": "nova-cell1", "project": "service", "roles": ["admin", "member"]} == server.ask(token=token).json
    assert {"user": "nova", "project": "service", "roles": ["service", "admin"]} == server.ask().json


def test_an_unknown_token(server: Server) -> None:
    """A token that the fake did not issue is refused."""
    assert (401, "the X-Auth-Token is not valid") == ((answer := server.ask(token="made-up")).status, answer.message)


def test_an_expired_token(server: Server) -> None:
    """An expired token is refused."""
    assert 401 == server.ask(token=server.keystone.issue("service", seconds=-1)).status


def test_a_revoked_token(server: Server) -> None:
    """A revoked token is refused at once."""
    assert 200 == server.ask().status
    server.keystone.revoke(server.token)
    assert 401 == server.ask().status


def test_every_call_is_validated(server: Server) -> None:
    """The server caches no token, so that a change in the test has effect at once."""
    server.config_drive()
    assert 6 == server.keystone.validations[server.token]


def test_an_unavailable_keystone(server: Server) -> None:
    """While Keystone is unavailable the server answers 503 and is not ready."""
    server.keystone.behaviour = "unavailable"
    answer = server.ask()
    assert (503, "keystone_unavailable", "the token cannot be validated now") == (
        answer.status,
        answer.code,
        answer.message,
    )
    server.keystone.behaviour = "available"
    assert 200 == server.ask().status


def test_a_keystone_that_hangs() -> None:
    """A hanging Keystone is 503 after auth_timeout."""
    with serve(Whose, sections={"vendorsrv": {"auth_timeout": 0.2}}) as server:
        server.keystone.behaviour = "hanging"
        answer = server.ask()
    assert (503, "the token could not be validated in time") == (answer.status, answer.message)


def test_a_server_leaves_its_keystone_as_it_was() -> None:
    """A server that stops while Keystone hangs stops at once, and leaves the fake's behaviour unchanged."""
    with FakeKeystone() as keystone:
        with serve(Whose, sections={"vendorsrv": {"auth_timeout": 0.1}}) as server:
            keystone.behaviour = "hanging"
            assert 503 == server.ask().status
        assert "hanging" == keystone.behaviour


def test_servers_share_the_keystone_that_is_open() -> None:
    """Servers share the open fake, and so each other's tokens; without one, each starts its own."""
    with FakeKeystone() as keystone, serve(Whose) as one, serve(Whose, keystone=keystone) as other:
        assert keystone is one.keystone is other.keystone
        assert 200 == one.ask(token=other.token).status
    assert [] == FakeKeystone.active


def test_the_innermost_keystone_validates() -> None:
    """Of nested fakes the innermost validates, and the outer one again after it is closed."""
    with FakeKeystone() as outer, serve(Whose, keystone=outer) as server:
        with FakeKeystone():
            assert 401 == server.ask().status
        assert 200 == server.ask().status


def test_the_extra_is_named_when_it_is_missing() -> None:
    """Without the package that keystonemiddleware's fixture needs, the error names the extra to install."""
    command = "import sys; sys.modules['fixtures'] = None; from vendorsrv.testing import FakeKeystone"
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert (
        "ModuleNotFoundError: fixtures is not installed: pip install 'vendorsrv[testing]'"
        == (done.stderr.splitlines()[-1])
    )
