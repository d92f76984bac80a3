"""Nova's own client asks our real server, with real tokens: what the instance gets, and when Nova raises."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.nova import INSTANCE, Nova, listening
from tests.contract.server import Server
from tests.keystone import NOVA_ADMIN, TENANT, Account, Keystone

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


class Authorities:
    """Two certificate authorities, and what they signed, as files.

    :ivar ours: signed the server's certificate.
    :ivar other: signed nothing.
    """

    def __init__(self, directory: Path) -> None:
        authorities = {name: trustme.CA() for name in ("ours", "other")}
        for name, authority in authorities.items():
            authority.cert_pem.write_to_path(directory / f"{name}.pem")
        self.ours, self.other = directory / "ours.pem", directory / "other.pem"
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.key.touch(0o600)
        issued = authorities["ours"].issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    def context(self) -> ssl.SSLContext:
        """A client's, that trusts ``ours`` and shows the certificate that it signed."""
        context = ssl.create_default_context(cafile=str(self.ours))
        context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """The certificates of this module."""
    return Authorities(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def served_by_tls(
    keystone: Keystone, authorities: Authorities, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Our server over HTTPS."""
    options = {"vendorsrv": {"cert_file": authorities.certificate, "key_file": authorities.key}}
    with Server(tmp_path_factory.mktemp("tls"), keystone, options, trust=authorities.context()) as server:
        yield server


@pytest.fixture(scope="module")
def asking_for_certificates(
    keystone: Keystone, authorities: Authorities, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Our server over HTTPS, which lets in only clients that show a certificate."""
    options = {
        "vendorsrv": {
            "cert_file": authorities.certificate,
            "key_file": authorities.key,
            "ca_file": authorities.ours,
        }
    }
    with Server(tmp_path_factory.mktemp("mtls"), keystone, options, trust=authorities.context()) as server:
        yield server


def test_the_mail_server(nova: Nova, served: Server) -> None:
    """An instance that a mail administrator booted gets the mail server's configuration."""
    outcome = nova.vendordata(boot(system_metadata=MAIL_ADMIN), [f"mail@{served.url}/mailserver"], fatal=True)
    assert {"value": {"mail": MAIL_SERVER}, "log": []} == outcome


@pytest.mark.parametrize("system_metadata", [{"boot_roles": "member"}, {"boot_roles": ""}, {}])
def test_no_mail_server(nova: Nova, served: Server, system_metadata: Mapping[str, str]) -> None:
    """An instance of somebody else, or of whom nothing is recorded, gets nothing, and that is no failure."""
    outcome = nova.vendordata(boot(system_metadata=system_metadata), [f"mail@{served.url}/mailserver"], fatal=True)
    assert {"value": {"mail": {}}, "log": []} == outcome


def test_a_null_hostname(nova: Nova, served: Server) -> None:
    """A mail administrator's instance without a hostname is a mail server named after the instance."""
    instance = boot(system_metadata=MAIL_ADMIN, hostname=None)
    outcome = nova.vendordata(instance, [f"mail@{served.url}/mailserver"], fatal=True)
    assert f"{instance['uuid']}.example.org" == outcome["value"]["mail"]["hostname"]


def test_what_the_handler_sees(nova: Nova, served: Server) -> None:
    """Every field that Nova knows reaches the handler."""
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
    """What Nova's object may hold reaches the handler: volume boots, nulls, Unicode, 64 KiB of user-data."""
    outcome = nova.vendordata(boot(**change), [f"mail@{served.url}/received"], fatal=True)
    assert [] == outcome["log"]
    assert seen == {name: outcome["value"]["mail"][name] for name in seen}


def test_all_handlers_in_one_target(nova: Nova, served: Server) -> None:
    """A target without a path gets every handler's answer under its name."""
    outcome = nova.vendordata(boot(system_metadata=MAIL_ADMIN), [f"all@{served.url}/"], fatal=True)
    assert ["mailserver", "received"] == list(outcome["value"]["all"])
    assert MAIL_SERVER == outcome["value"]["all"]["mailserver"]


def test_two_targets(nova: Nova, served: Server) -> None:
    """One failing target, when failure is not fatal, costs the other nothing."""
    targets = [f"gone@{served.url}/gone", f"mail@{served.url}/mailserver"]
    assert {"gone": {}, "mail": MAIL_SERVER} == nova.vendordata(boot(system_metadata=MAIL_ADMIN), targets)["value"]


def test_an_older_deployment(nova: Nova, served: Server) -> None:
    """Nova's user may also be an admin of the project named service."""
    outcome = nova.vendordata(
        boot(system_metadata=MAIL_ADMIN), [f"mail@{served.url}/mailserver"], fatal=True, as_user=NOVA_ADMIN
    )
    assert {"mail": MAIL_SERVER} == outcome["value"]


REFUSED = pytest.mark.parametrize(
    ("user", "raises", "message"),
    [
        (TENANT, "Forbidden", "the owner of the token may not ask for vendordata (HTTP 403)"),
        (None, "Unauthorized", "the request has no X-Auth-Token (HTTP 401)"),
    ],
    ids=["tenant", "nobody"],
)


@REFUSED
def test_refused_and_fatal(nova: Nova, served: Server, user: Account | None, raises: str, message: str) -> None:
    """A tenant's token, or none, raises in Nova when failure is fatal, with our message."""
    outcome = nova.vendordata(
        boot(system_metadata=MAIL_ADMIN), [f"mail@{served.url}/mailserver"], fatal=True, as_user=user
    )
    assert raises == outcome["error"]["class"]
    assert outcome["error"]["message"].startswith(f"{message} (Request-ID: req-")


@REFUSED
def test_refused_and_not_fatal(nova: Nova, served: Server, user: Account | None, raises: str, message: str) -> None:
    """A tenant's token, or none, is an empty answer otherwise, and our message is in Nova's log."""
    outcome = nova.vendordata(boot(system_metadata=MAIL_ADMIN), [f"mail@{served.url}/mailserver"], as_user=user)
    assert {"mail": {}} == outcome["value"]
    assert f"service mail at {served.url}/mailserver: {message} (Request-ID: req-" in outcome["log"][-1]


def test_keystone_stopped(nova: Nova, fragile_keystone: Keystone, served_by_fragile: Server) -> None:
    """A token that nobody can validate raises in Nova when failure is fatal, and else is an empty answer."""
    targets = [f"mail@{served_by_fragile.url}/mailserver"]
    with listening() as (url, _):  # so that Nova has a token, and the server has not seen it
        nova.vendordata(INSTANCE, [f"mail@{url}"], keystone=fragile_keystone)
    fragile_keystone.stop()
    fatal = nova.vendordata(INSTANCE, targets, fatal=True, keystone=fragile_keystone)
    lenient = nova.vendordata(INSTANCE, targets, keystone=fragile_keystone)
    assert "ServiceUnavailable" == fatal["error"]["class"]
    assert fatal["error"]["message"].startswith("the token cannot be validated now (HTTP 503) (Request-ID: req-")
    assert {"mail": {}} == lenient["value"]
    assert ": the token cannot be validated now (HTTP 503) (Request-ID: req-" in lenient["log"][-1]


def test_https(nova: Nova, served_by_tls: Server, authorities: Authorities) -> None:
    """Over HTTPS Nova checks our certificate with the CA of vendordata_dynamic_ssl_certfile."""
    targets = [f"mail@{served_by_tls.url}/mailserver"]
    assert served_by_tls.url.startswith("https://")
    assert {"mail": MAIL_SERVER} == nova.vendordata(
        boot(system_metadata=MAIL_ADMIN), targets, fatal=True, ssl_certfile=authorities.ours
    )["value"]


@pytest.mark.parametrize("named", [True, False], ids=["other", "system"])
def test_another_ca(nova: Nova, served_by_tls: Server, authorities: Authorities, *, named: bool) -> None:
    """A CA that does not verify our certificate, or the system's alone, is a failure."""
    certfile = authorities.other if named else None
    targets = [f"mail@{served_by_tls.url}/mailserver"]
    fatal = nova.vendordata(boot(system_metadata=MAIL_ADMIN), targets, fatal=True, ssl_certfile=certfile)
    assert "SSLError" == fatal["error"]["class"]
    assert {"mail": {}} == nova.vendordata(boot(system_metadata=MAIL_ADMIN), targets, ssl_certfile=certfile)["value"]


def test_nova_has_no_client_certificate(
    nova: Nova, asking_for_certificates: Server, authorities: Authorities, nova_token: str
) -> None:
    """Where client certificates are asked for, Nova, which shows none, is refused; who shows one is answered."""
    server, certfile = asking_for_certificates, authorities.ours
    targets = [f"mail@{server.url}/mailserver"]
    fatal = nova.vendordata(boot(system_metadata=MAIL_ADMIN), targets, fatal=True, ssl_certfile=certfile)
    # With TLS 1.3 the refusal comes after the handshake, and races with the request.
    assert fatal["error"]["class"] in {"SSLError", "ConnectFailure"}
    assert {"mail": {}} == nova.vendordata(boot(system_metadata=MAIL_ADMIN), targets, ssl_certfile=certfile)["value"]
    assert 200 == server.post("/mailserver", nova_token).status_code
