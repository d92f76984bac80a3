"""Nova's own client asks our real server, with real tokens, for more than table.py has."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.peers.certificates import Authorities
from tests.support.peers.nova import INSTANCE, Nova
from tests.support.peers.server import Server

MAIL_ADMIN = {"boot_roles": "member,mail-admin"}
MAIL_SERVER = {
    "role": "mail-server",
    "domain": "example.org",
    "hostname": "mail-1.example.org",
    "relayhost": "relay.example.org",
}


def boot(**changes: Any) -> dict[str, Any]:
    """A new instance: what the mail server said of another one is pinned."""
    return {**INSTANCE, "uuid": str(uuid.uuid4()), **changes}


def test_what_the_handler_sees(nova: Nova, served: Server) -> None:
    """Every field that Nova sends reaches the handler."""
    outcome = nova.vendordata(INSTANCE, [f"mail@{served.url}/received"], fatal=True)
    assert {
        "project_id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e",
        "image_id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
        "hostname": "mail-1",
        "metadata": {"tier": "gold"},
        "boot_roles": ["member", "reader"],
        "user_data": [14, "88c95955b024402aa9572b663f7eeb134f01343bb92af27b50e97e72b22c565f"],
    } == outcome["value"]["mail"]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"image_ref": ""}, {"image_id": ""}),
        ({"image_ref": None}, {"image_id": None}),
        ({"project_id": None}, {"project_id": None}),
        ({"hostname": None}, {"hostname": None}),
        ({"user_data": None}, {"user_data": None}),
        ({"metadata": {}}, {"metadata": {}}),
        ({"metadata": {"ключ": "\U0001f4ee"}}, {"metadata": {"ключ": "\U0001f4ee"}}),
        ({"system_metadata": {}}, {"boot_roles": []}),
        ({"system_metadata": {"boot_roles": "Mail-Admin,member"}}, {"boot_roles": ["Mail-Admin", "member"]}),
        (
            {"user_data": "QUFB" * 16383},
            {"user_data": [49149, "175e891b73de2e279299cdeb80a9923773a4e5505a7b1e8e69542261fcf9af38"]},
        ),
    ],
    ids=["volume", "image", "project", "hostname", "user-data", "metadata", "non-ascii", "no-roles", "case", "largest"],
)
def test_odd_values(nova: Nova, served: Server, change: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
    """Volume boots, nulls, Unicode and 64 KiB of user-data reach the handler."""
    outcome = nova.vendordata(boot(**change), [f"mail@{served.url}/received"], fatal=True)
    assert [] == outcome["log"]
    assert seen == {name: outcome["value"]["mail"][name] for name in seen}


def test_all_handlers_in_one_target(nova: Nova, served: Server) -> None:
    """A target without a path gets the answers of all handlers by name."""
    outcome = nova.vendordata(boot(system_metadata=MAIL_ADMIN), [f"all@{served.url}/"], fatal=True)
    assert ["mailserver", "received", "echo"] == list(outcome["value"]["all"])
    assert MAIL_SERVER == outcome["value"]["all"]["mailserver"]


def test_two_targets(nova: Nova, served: Server) -> None:
    """When failures are not fatal, a failing target does not affect another target."""
    targets = [f"gone@{served.url}/gone", f"mail@{served.url}/mailserver"]
    assert {"gone": {}, "mail": MAIL_SERVER} == nova.vendordata(boot(system_metadata=MAIL_ADMIN), targets)["value"]


def test_https(nova: Nova, served_by_tls: Server, authorities: Authorities) -> None:
    """Over HTTPS Nova verifies our certificate with the CA of vendordata_dynamic_ssl_certfile."""
    targets = [f"mail@{served_by_tls.url}/mailserver"]
    assert served_by_tls.url.startswith("https://")
    assert {"mail": MAIL_SERVER} == nova.vendordata(
        boot(system_metadata=MAIL_ADMIN), targets, fatal=True, ssl_certfile=authorities.ours
    )["value"]


def test_a_private_authority(nova: Nova, served_by_tls: Server) -> None:
    """Without that option Nova refuses a certificate of a private CA."""
    outcome = nova.vendordata(boot(), [f"mail@{served_by_tls.url}/mailserver"], fatal=True)
    assert "SSLError" == outcome["error"]["class"]


def test_client_certificates(
    nova: Nova, asking_for_certificates: Server, authorities: Authorities, nova_token: str
) -> None:
    """A server that requires client certificates answers a client that has one, and not Nova, which has none."""
    targets = [f"mail@{asking_for_certificates.url}/mailserver"]
    outcome = nova.vendordata(boot(), targets, ssl_certfile=authorities.ours)
    assert {"mail": {}} == outcome["value"]
    assert 1 == len(outcome["log"])
    assert 200 == asking_for_certificates.post("/mailserver", nova_token).status_code
