"""Nova's own client asks our server for cloud-init's answer, and the real cloud-init takes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.keystone import Keystone
from tests.support.peers.cloud_init import CloudInit
from tests.support.peers.nova import INSTANCE, Nova
from tests.support.peers.server import Server

CLOUDY = "tests.support.handlers.cloudy"
HANDLERS = f"mailserver, {CLOUDY}:Timezone, {CLOUDY}:Five, tests.support.handlers.good:Echo"
MAIL_ADMIN = {"system_metadata": {"boot_roles": "mail-admin"}}
USER_DATA = b"#cloud-config\nruncmd: [mine]\nntp: {servers: [mine]}\n"


@pytest.fixture(scope="module")
def cloudy(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose handlers contribute none, one and five parts, and a mail server's two."""
    options = {"vendorsrv": {"handlers": HANDLERS}}
    with Server(tmp_path_factory.mktemp("cloudy"), keystone, options) as server:
        yield server


@pytest.fixture(scope="module")
def cloud_init() -> Iterator[CloudInit]:
    """The real one."""
    with tempfile.TemporaryDirectory() as folder, CloudInit(Path(folder)) as process:
        yield process


def booted(nova: Nova, server: Server, cloud_init: CloudInit, number: int, instance: Mapping[str, Any]) -> Any:
    """What the instance makes of what Nova's own client got; each number is an instance of its own."""
    asked = {
        **INSTANCE,
        "uuid": f"6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f{number:04}",
        **instance,
    }
    outcome = nova.vendordata(asked, [f"cloud-init@{server.url}/cloud-init"], fatal=True)
    assert [] == outcome["log"]
    return outcome["value"]["cloud-init"], cloud_init.boot(outcome["value"]["cloud-init"], USER_DATA)


def test_one_part(nova: Nova, cloudy: Server, cloud_init: CloudInit) -> None:
    """One part is a plain cloud-config, accepted without a warning; the user-data is unchanged."""
    answer, seen = booted(nova, cloudy, cloud_init, 1, {"metadata": {"parts": "timezone"}})
    assert answer.startswith("#cloud-config\n")
    assert (None, []) == (seen["error"], seen["warnings"])
    assert {"runcmd": ["mine"], "ntp": {"servers": ["mine"]}} == seen["user_config"]
    assert "Europe/Berlin" == seen["config"]["timezone"]


def test_seven_parts(nova: Nova, cloudy: Server, cloud_init: CloudInit) -> None:
    """Seven parts of three handlers are one message, accepted without a warning, each with a file of its own."""
    answer, seen = booted(nova, cloudy, cloud_init, 2, {"metadata": {"parts": "five"}, **MAIL_ADMIN})
    assert 7 == answer.count("Content-Disposition: attachment")
    assert (None, []) == (seen["error"], seen["warnings"])
    assert {"runcmd": ["mine"], "ntp": {"servers": ["mine"]}} == seen["user_config"]
    assert ["02-mailserver-postfix", "05-five-first", "06-five-second"] == seen["vendor_scripts"]
    assert ["07-five-boothook"] == seen["boothooks"]
    assert {"fqdn": "mail-1.example.org", "ntp": {"servers": ["a", "b"]}} == {
        key: seen["vendor_config"][key] for key in ("fqdn", "ntp")
    }


def test_no_part(nova: Nova, cloudy: Server, cloud_init: CloudInit) -> None:
    """When no handler has a part, the instance gets none."""
    answer, seen = booted(nova, cloudy, cloud_init, 3, {})
    assert {} == answer
    assert (None, []) == (seen["error"], seen["warnings"])


def test_a_broken_part_reaches_nova_as_an_error(nova: Nova, cloudy: Server) -> None:
    """A part that cannot work is an error that names the handler and the key; the instance gets nothing of it."""
    instance = {**INSTANCE, "uuid": "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f0004", "metadata": {"parts": "broken"}}
    outcome = nova.vendordata(instance, [f"cloud-init@{cloudy.url}/cloud-init"], fatal=True)
    assert "InternalServerError" == outcome["error"]["class"]
    assert outcome["error"]["message"].startswith(
        "handler five:cloud-init: cloud-config hostnme: cloud-init has no such key; did you mean hostname? (HTTP 500)"
    )
