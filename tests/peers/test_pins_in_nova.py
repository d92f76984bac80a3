"""The first promise of pins, by Nova's own client: what an instance became at boot it stays, from every server."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.databases import database
from tests.support.keystone import Keystone
from tests.support.peers.nova import INSTANCE, ROOT, Nova
from tests.support.peers.server import Options, Server

MAIL_ADMIN: Final = {"boot_roles": "member,mail-admin"}
#: The same instance, after the role was taken from its user.
MEMBER: Final = {"boot_roles": "member"}
MAIL_SERVER: Final = {
    "role": "mail-server",
    "domain": "example.org",
    "hostname": "mail-1.example.org",
    "relayhost": "relay.example.org",
}


class Cloud:
    """Nova, and two servers that share a store of pins; the second one is configured for another domain."""

    def __init__(self, nova: Nova, first: Server, second: Server) -> None:
        self.nova = nova
        self.first = first
        self.second = second

    def ask(self, server: Server, instance: str, roles: Mapping[str, str]) -> Any:
        """Let Nova ask a server about an instance whose user has these roles."""
        asked = {**INSTANCE, "uuid": instance, "system_metadata": roles}
        outcome = self.nova.vendordata(asked, [f"mail@{server.url}/mailserver"], fatal=True)
        return outcome["value"]["mail"]

    def forget(self, instance: str) -> None:
        """Do what an operator does on the first host."""
        command(self.first.configuration, "pins", "forget", instance, "--yes")


def command(configuration: Path, group: str, *arguments: str) -> str:
    """Run a command of ours that reads a server's configuration; return what it prints."""
    words = [sys.executable, "-m", "vendorsrv", group, arguments[0], "--config-file", str(configuration)]
    return subprocess.run(
        [*words, *arguments[1:]], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def cloud(
    request: pytest.FixtureRequest, nova: Nova, keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """Two servers, each in processes of its own, on one store."""
    directory = tmp_path_factory.mktemp("pins")
    with ExitStack() as stack:
        sqlite = request.param == "sqlite"
        url = f"sqlite:///{directory}/pins.db" if sqlite else stack.enter_context(database(request.param)).url
        options: Options = {"database": {"connection": url}}
        first = Server(directory / "first", keystone, options)
        second = Server(directory / "second", keystone, {**options, "handler:mailserver": {"domain": "example.net"}})
        if not sqlite:
            command(first.configuration, "db", "upgrade")
        yield Cloud(nova, stack.enter_context(first), stack.enter_context(second))


@pytest.fixture
def instance() -> str:
    """An instance that nobody has asked for."""
    return str(uuid.uuid4())


def test_the_log_has_no_lines_of_alembic(cloud: Cloud) -> None:
    """A server that creates its SQLite file, or opens its database, logs nothing of Alembic."""
    assert [] == [line for line in cloud.first.log.splitlines() if "alembic" in line]


def test_the_first_answer_holds(cloud: Cloud, instance: str) -> None:
    """The instance keeps its first answer: after the role is gone, and from a server with other settings."""
    assert MAIL_SERVER == cloud.ask(cloud.first, instance, MAIL_ADMIN)
    assert [MAIL_SERVER] * 2 == [cloud.ask(server, instance, MEMBER) for server in (cloud.second, cloud.first)]


def test_every_server_sends_the_same_bytes(cloud: Cloud, instance: str, nova_token: str) -> None:
    """Every server sends the same bytes for a pinned instance."""
    bodies = [
        server.post(
            "/mailserver", nova_token, b'{"instance-id": "%s", "boot-roles": "%s"}' % (instance.encode(), roles)
        )
        for server, roles in ((cloud.first, b"mail-admin"), (cloud.second, b"member"), (cloud.second, b"mail-admin"))
    ]
    assert [bodies[0].content] * 3 == [body.content for body in bodies]
    assert b"example.org" in bodies[0].content


def test_what_is_forgotten_is_forgotten_everywhere(cloud: Cloud, instance: str) -> None:
    """After `pins forget` every server gives the instance a new answer by its roles of today, which is pinned."""
    asked = [cloud.ask(server, instance, MAIL_ADMIN) for server in (cloud.first, cloud.second)]
    cloud.forget(instance)
    asked += [cloud.ask(server, instance, MEMBER) for server in (cloud.second, cloud.first)]
    asked += [cloud.ask(server, instance, MAIL_ADMIN) for server in (cloud.second, cloud.first)]
    assert [MAIL_SERVER, MAIL_SERVER, {}, {}, {}, {}] == asked


def test_an_empty_answer_is_pinned(cloud: Cloud, instance: str) -> None:
    """An instance that was not a mail server at boot does not become one when its user gets the role."""
    assert {} == cloud.ask(cloud.first, instance, MEMBER)
    assert [{}, {}] == [cloud.ask(server, instance, MAIL_ADMIN) for server in (cloud.first, cloud.second)]


def test_another_instance_has_an_answer_of_its_own(cloud: Cloud, instance: str) -> None:
    """A pin holds for one instance: the next one of a mail administrator is another mail server."""
    cloud.ask(cloud.first, instance, MEMBER)
    assert {**MAIL_SERVER, "domain": "example.net", "hostname": "mail-1.example.net"} == cloud.ask(
        cloud.second, str(uuid.uuid4()), MAIL_ADMIN
    )
