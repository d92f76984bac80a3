"""The mail-server example: which instances become mail servers."""

import asyncio
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from vendorsrv import VendordataRequest
from vendorsrv.testing import Server, nova_body, serve
from vendorsrv_mailserver import MailServer

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"

SETTINGS = {"domain": "example.org", "relayhost": "relay.example.org", "role": "mail-admin", "postmaster": "root"}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for the mail servers of example.org, enabled by the name that operators configure."""
    with serve("mailserver", options=SETTINGS) as running:
        yield running


@pytest.mark.parametrize("roles", ["member,mail-admin", "Mail-Admin"])
def test_a_mail_administrator_gets_a_mail_server(server: Server, roles: str) -> None:
    """An instance that a mail administrator booted gets the configuration, whatever the case of the role."""
    assert {
        "role": "mail-server",
        "domain": "example.org",
        "hostname": "web-1.example.org",
        "relayhost": "relay.example.org",
    } == server.ask(hostname="web-1", boot_roles=roles).json


@pytest.mark.parametrize("roles", ["", "member", "mail-administrator"])
def test_others_get_nothing(server: Server, roles: str) -> None:
    """An instance that another user booted gets an empty answer."""
    assert {} == server.ask(boot_roles=roles).json


def test_an_instance_keeps_its_first_answer(server: Server) -> None:
    """An instance stays what it was at boot, a mail server or not, when the user's roles change."""
    other = "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0b"
    assert {} == server.ask(instance_id=other, boot_roles="member").json
    assert "mail-server" == server.ask(boot_roles="mail-admin").json["role"]
    assert {} == server.ask(instance_id=other, boot_roles="mail-admin").json
    assert "mail-server" == server.ask(boot_roles="member").json["role"]


def test_an_instance_without_a_hostname_is_named_by_its_id(server: Server) -> None:
    """Without a hostname from Nova, the instance's id is the label of its full hostname."""
    answer = server.ask(instance_id=INSTANCE, hostname=None, boot_roles="mail-admin")
    assert "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d.example.org" == answer.json["hostname"]


def parts(hostname: str, roles: str = "mail-admin", **settings: str) -> list[str]:
    """The texts of the parts for the instance's cloud-init."""
    body = nova_body(instance_id=INSTANCE, hostname=hostname, boot_roles=roles)
    handler = MailServer(SimpleNamespace(**{**SETTINGS, **settings}))
    return [part.text for part in asyncio.run(handler.cloud_init(VendordataRequest.from_json(body))) or []]


def test_cloud_init_gets_a_name_and_a_script() -> None:
    """The parts set the full hostname, and a script with each setting quoted for the shell."""
    config, script = parts("web-1", postmaster="me+mail@example.net")
    assert "fqdn: web-1.example.org" in config.splitlines()
    assert {"DOMAIN=example.org", "MAIL_HOSTNAME=web-1.example.org", "POSTMASTER=me+mail@example.net"} <= {
        *script.splitlines()
    }
    assert "RELAYHOST='[relay.example.org]'" in script.splitlines()
    assert [] == re.findall("@[a-z]+@", script)


def test_cloud_init_without_a_relay() -> None:
    """Without a relay, the script sends mail directly to its host."""
    assert "RELAYHOST=''" in parts("web-1", relayhost="")[1].splitlines()


def test_others_get_nothing_from_cloud_init() -> None:
    """Other instances get no parts for cloud-init."""
    assert [] == parts("web-1", "member")


@pytest.mark.parametrize("hostname", ["", "a b", "$(reboot)", "a'b", "a,b", "-a", "é"])
def test_an_invalid_hostname_is_replaced_by_the_id(hostname: str) -> None:
    """A hostname that is not a valid label is replaced by the instance's id."""
    assert f"MAIL_HOSTNAME={INSTANCE}.example.org" in parts(hostname)[1].splitlines()
