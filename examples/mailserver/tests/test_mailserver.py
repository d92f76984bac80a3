"""The mail-server example: who gets which answer."""

import asyncio
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest

from vendorsrv import VendordataRequest
from vendorsrv_mailserver import MailServer

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"


def answer(body: bytes) -> dict[str, object]:
    """What a mail server for example.org answers to a body of Nova's."""
    settings = SimpleNamespace(domain="example.org", relayhost="relay.example.org", role="mail-admin")
    return asyncio.run(MailServer(settings).handle(VendordataRequest.from_json(body)))


@pytest.mark.parametrize("roles", [b"member,mail-admin", b"Mail-Admin"])
def test_a_mail_administrator_gets_a_mail_server(roles: bytes) -> None:
    """An instance that a mail administrator booted is told to be a mail server, however the role is spelt."""
    body = b'{"instance-id": "%s", "hostname": "web-1", "boot-roles": "%s"}' % (INSTANCE.encode(), roles)
    assert {
        "role": "mail-server",
        "domain": "example.org",
        "hostname": "web-1.example.org",
        "relayhost": "relay.example.org",
    } == answer(body)


@pytest.mark.parametrize("roles", [b"", b"member", b"mail-administrator"])
def test_others_get_nothing(roles: bytes) -> None:
    """An instance of anybody else is told nothing."""
    body = b'{"instance-id": "%s", "hostname": "web-1", "boot-roles": "%s"}' % (INSTANCE.encode(), roles)
    assert {} == answer(body)


def test_an_instance_without_a_hostname_is_named_by_its_id() -> None:
    """Nova may know no hostname; the id then is the label, so that no two instances share a name."""
    body = b'{"instance-id": "%s", "hostname": null, "boot-roles": "mail-admin"}' % INSTANCE.encode()
    assert "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d.example.org" == answer(body)["hostname"]


def test_vendorsrv_finds_it_by_its_entry_point() -> None:
    """The name that operators configure leads to this class."""
    (found,) = entry_points(group="vendorsrv.handlers", name="mailserver")
    assert MailServer is found.load()
