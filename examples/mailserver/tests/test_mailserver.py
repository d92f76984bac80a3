"""The mail-server example: who gets which answer."""

import asyncio
import json
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest

from vendorsrv import VendordataRequest
from vendorsrv_mailserver import MailServer

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"

SETTINGS = {"domain": "example.org", "relayhost": "relay.example.org", "role": "mail-admin", "postmaster": "root"}


def answer(body: bytes) -> dict[str, object]:
    """What a mail server for example.org answers to a body of Nova's."""
    settings = SimpleNamespace(**SETTINGS)
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


def parts(hostname: str, roles: str = "mail-admin", **settings: str) -> list[str]:
    """The texts that an instance's cloud-init gets."""
    body = json.dumps({"instance-id": INSTANCE, "hostname": hostname, "boot-roles": roles}).encode()
    handler = MailServer(SimpleNamespace(**{**SETTINGS, **settings}))
    return [part.text for part in asyncio.run(handler.cloud_init(VendordataRequest.from_json(body))) or []]


def test_cloud_init_gets_a_name_and_a_script() -> None:
    """The script has the settings, each as one word for the shell."""
    config, script = parts("web-1", postmaster="me+mail@example.net")
    assert "fqdn: web-1.example.org" in config.splitlines()
    assert {"DOMAIN=example.org", "MAIL_HOSTNAME=web-1.example.org", "POSTMASTER=me+mail@example.net"} <= {
        *script.splitlines()
    }
    assert "RELAYHOST='[relay.example.org]'" in script.splitlines()
    assert "@" not in script.replace("me+mail@example.net", "")


def test_cloud_init_without_a_relay() -> None:
    """Mail then goes straight to its host."""
    assert "RELAYHOST=''" in parts("web-1", relayhost="")[1].splitlines()


def test_others_get_nothing_from_cloud_init() -> None:
    """As from handle."""
    assert [] == parts("web-1", "member")


@pytest.mark.parametrize("hostname", ["", "a b", "$(reboot)", "a'b", "a,b", "-a", "é"])
def test_a_hostname_that_is_no_label_is_not_used(hostname: str) -> None:
    """The tenant chose it; the instance's id stands for it."""
    assert f"MAIL_HOSTNAME={INSTANCE}.example.org" in parts(hostname)[1].splitlines()
