"""The certificates of Nova and of the server fit each other, or a finding says why they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.support.checking import GOOD, GOOD_NOVA, changed, findings, found_in_nova_conf, write

CA = trustme.CA()
SERVER = CA.issue_cert("vendordata.example.org", "127.0.0.1")
TARGET = "mailserver@http://127.0.0.1:9090/mailserver"


@pytest.fixture
def serving_tls(tmp_path: Path) -> str:
    """A good configuration with a certificate, and a CA file that Nova can use."""
    write(tmp_path / "ca", CA.cert_pem.bytes().decode())
    write(tmp_path / "key", SERVER.private_key_pem.bytes().decode())
    write(tmp_path / "cert", SERVER.cert_chain_pems[0].bytes().decode())
    return changed(GOOD, {"port = 9090": f"port = 9090\ncert_file = {tmp_path}/cert\nkey_file = {tmp_path}/key"})


@pytest.mark.parametrize(
    ("target", "bundle", "expected"),
    [
        ("https://127.0.0.1:9090/mailserver", "ca", ""),
        ("https://vendordata.example.org:9090/mailserver", "ca", ""),
        (
            "http://proxy.example.org/mailserver",
            "ca",
            (
                "5: note: [api] vendordata_dynamic_targets: "
                "target mail: this server listens on port 9090; a load balancer may be there"
            ),
        ),
        (
            "http://127.0.0.1:9090/mailserver",
            "ca",
            "5: error: [api] vendordata_dynamic_targets: target mail: the URL is http, but this server speaks https",
        ),
        (
            "https://other.example.org:9090/mailserver",
            "ca",
            (
                "3: error: [api] vendordata_dynamic_ssl_certfile: target mail: Nova and this server refuse "
                "each other's certificates: Hostname mismatch, certificate is not valid for 'other.example.org'."
            ),
        ),
        (
            "https://127.0.0.1:9090/mailserver",
            "absent",
            (
                "3: error: [api] vendordata_dynamic_ssl_certfile: target mail: "
                "absent does not exist here; boots fail without it, although failures are not fatal"
            ),
        ),
    ],
)
def test_nova_must_trust_the_servers_certificate(
    tmp_path: Path, serving_tls: str, target: str, bundle: str, expected: str
) -> None:
    """The target's scheme and host, and Nova's CA file, must fit the server's certificate."""
    option = f"vendordata_dynamic_ssl_certfile = {tmp_path}/{bundle}"
    nova = changed(
        GOOD_NOVA,
        {
            TARGET: f"mail@{target}",
            "[api]\nvendor": f"[api]\n\n{option}\nvendor",
            "providers = StaticJSON,DynamicJSON\n": "providers=StaticJSON,DynamicJSON\n",
        },
    )
    assert expected == found_in_nova_conf(tmp_path, serving_tls, nova)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (
            "",
            (
                "target mail: this server requires a client certificate (ca_file); "
                "set certfile and keyfile in [vendordata_dynamic_auth]"
            ),
        ),
        ("certfile = {folder}/cert\nkeyfile = {folder}/key\n", ""),
    ],
)
def test_nova_needs_a_client_certificate_when_the_server_requires_one(
    tmp_path: Path, serving_tls: str, account: str, expected: str
) -> None:
    """When ca_file is set, [vendordata_dynamic_auth] must have a client certificate."""
    ours = changed(serving_tls, {"cert_file =": f"ca_file = {tmp_path}/ca\ncert_file ="})
    bundle = f"\nvendordata_dynamic_ssl_certfile = {tmp_path}/ca\n[vendordata_dynamic_auth]\n"
    changes = {TARGET: "mail@https://127.0.0.1:9090/mailserver", "\n[vendordata_dynamic_auth]\n": bundle}
    nova = changed(GOOD_NOVA, changes) + account.format(folder=tmp_path)
    found = found_in_nova_conf(tmp_path, ours, nova)
    assert expected == found.removeprefix("3: error: [api] vendordata_dynamic_targets: ")


def test_without_a_ca_file_nova_trusts_only_public_authorities(tmp_path: Path, serving_tls: str) -> None:
    """Without vendordata_dynamic_ssl_certfile, a certificate of a private CA is a finding."""
    nova = changed(GOOD_NOVA, {TARGET: "mail@https://127.0.0.1:9090/mailserver"})
    assert (
        "1: error: [api] vendordata_dynamic_ssl_certfile: target mail: "
        "Nova and this server refuse each other's certificates: unable to get local issuer certificate"
    ) == found_in_nova_conf(tmp_path, serving_tls, nova)


def test_an_unusable_certificate_is_one_finding(tmp_path: Path, serving_tls: str) -> None:
    """A key file that does not exist is a finding about the server's file alone, without a handshake."""
    ours = changed(serving_tls, {"/key\n": "/absent\n"})
    nova = changed(GOOD_NOVA, {TARGET: "mail@https://127.0.0.1:9090/mailserver"})
    assert ["vendorsrv.conf:5: error: [vendorsrv] key_file: absent does not exist or cannot be read"] == findings(
        tmp_path, ours, nova
    )
