"""TLS files are checked before the server uses them, with a handshake like Nova's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.checking import GOOD, changed, findings, write
from vendorsrv.check.findings import IniFile
from vendorsrv.check.tls import find_in_tls, refusal
from vendorsrv.settings import Settings

CA = trustme.CA()
SERVER = CA.issue_cert("vendordata.example.org", "127.0.0.1")


def key_of(certificate: trustme.LeafCert) -> str:
    """The private key in PEM form."""
    return certificate.private_key_pem.bytes().decode()


def chain_of(certificate: trustme.LeafCert) -> str:
    """The certificate and what is between it and the CA, in PEM form."""
    return "".join(part.bytes().decode() for part in certificate.cert_chain_pems)


def with_tls(folder: Path, *, cert: str | None = chain_of(SERVER), key: str | None = key_of(SERVER)) -> str:
    """A good configuration with TLS; the options are in lines 3 and 4."""
    lines = ""
    for option, content in (("cert_file", cert), ("key_file", key)):
        if content is not None:
            lines += f"{option} = {write(folder / option, content)}\n"
    return changed(GOOD, {"port = 9090\n": lines})


def test_good_tls_files_have_no_findings(tmp_path: Path) -> None:
    """A certificate, its key and a CA file for clients have no findings."""
    write(tmp_path / "ca", CA.cert_pem.bytes().decode())
    text = changed(with_tls(tmp_path), {"key_file =": f"ca_file = {tmp_path}/ca\nkey_file ="})
    assert [] == findings(tmp_path, text)


@pytest.mark.parametrize(
    ("cert", "key", "expected"),
    [
        (chain_of(SERVER), None, ["3: error: [vendorsrv] cert_file: set without key_file; TLS needs both"]),
        (None, key_of(SERVER), ["3: error: [vendorsrv] key_file: set without cert_file; TLS needs both"]),
        (
            chain_of(CA.issue_cert("other.example.org")),
            key_of(SERVER),
            ["4: error: [vendorsrv] key_file: not the key of the first certificate in cert_file"],
        ),
        ("", key_of(SERVER), ["3: error: [vendorsrv] cert_file: cert_file contains no certificate in PEM format"]),
        (
            chain_of(SERVER),
            "planted",
            ["4: error: [vendorsrv] key_file: key_file contains no private key in PEM format"],
        ),
    ],
    ids=range(5),  # certificates are new in each process, and so would their ids be
)
def test_tls_files_that_do_not_fit_are_errors(
    tmp_path: Path, cert: str | None, key: str | None, expected: list[str]
) -> None:
    """A certificate without its key, a key without its certificate, and files of another kind are errors."""
    found = findings(tmp_path, with_tls(tmp_path, cert=cert, key=key))
    assert [f"vendorsrv.conf:{line}" for line in expected] == found


def test_an_encrypted_key_is_an_error(tmp_path: Path) -> None:
    """An encrypted key is an error, because the server cannot ask for a pass phrase."""
    key = load_pem_private_key(SERVER.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"planted"))
    assert [
        (
            "vendorsrv.conf:4: error: [vendorsrv] key_file: "
            "the key in key_file is encrypted; the server cannot ask for a pass phrase"
        )
    ] == findings(tmp_path, with_tls(tmp_path, key=encrypted.decode()))


def test_an_absent_ca_file_is_an_error(tmp_path: Path) -> None:
    """A ca_file needs cert_file, and must exist."""
    text = changed(GOOD, {"port = 9090": "ca_file = /no/ca"})
    assert [
        "vendorsrv.conf:3: error: [vendorsrv] ca_file: set without cert_file; TLS needs both",
        "vendorsrv.conf:3: error: [vendorsrv] ca_file: /no/ca does not exist or cannot be read",
    ] == findings(tmp_path, text)


def test_a_key_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    """A private key that every user can read is a warning."""
    text = with_tls(tmp_path)
    (tmp_path / "key_file").chmod(0o644)
    assert [
        "vendorsrv.conf:4: warning: [vendorsrv] key_file: every user of this machine can read key_file"
    ] == findings(tmp_path, text)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-2, ["error: [vendorsrv] cert_file: the certificate is not valid before 2040-01-01 00:00 UTC"]),
        (1, []),
        (69, []),
        (71, ["warning: [vendorsrv] cert_file: the certificate expires in 29 days, on 2040-04-10"]),
        (101, ["error: [vendorsrv] cert_file: the certificate expired at 2040-04-10 00:00 UTC"]),
    ],
)
def test_a_certificate_is_checked_against_the_time(tmp_path: Path, days: int, expected: list[str]) -> None:
    """A certificate is an error before and after its validity, and a warning in its last 30 days."""
    start = datetime(2040, 1, 1, tzinfo=UTC)
    leaf = CA.issue_cert("vendordata.example.org", not_before=start, not_after=start + timedelta(days=100))
    path = write(tmp_path / "vendorsrv.conf", with_tls(tmp_path, cert=chain_of(leaf), key=key_of(leaf)))
    found = find_in_tls(IniFile(path), Settings.from_file(path), now=start + timedelta(days=days))
    assert [f"{path}:3: {line}" for line in expected] == [str(finding) for finding in found]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and keys of both sides, and the CA that signed all of them."""
    folder = tmp_path_factory.mktemp("tls")
    client = CA.issue_cert("nova.example.org")
    for name, content in (
        ("ca", CA.cert_pem.bytes().decode()),
        ("other-ca", trustme.CA().cert_pem.bytes().decode()),
        ("client", chain_of(client)),
        ("client-key", key_of(client)),
        ("client-both", key_of(client) + chain_of(client)),
    ):
        write(folder / name, content)
    write(folder / "vendorsrv.conf", with_tls(folder))
    write(folder / "strict.conf", changed(with_tls(folder), {"key_file =": f"ca_file = {folder}/ca\nkey_file ="}))
    return folder


@pytest.mark.parametrize(
    ("host", "bundle", "expected"),
    [
        ("vendordata.example.org", "ca", None),
        ("127.0.0.1", "ca", None),
        ("vendordata.example.org", "other-ca", "unable to get local issuer certificate"),
        ("vendordata.example.org", ".", "unable to get local issuer certificate"),
        ("other.example.org", "ca", "Hostname mismatch, certificate is not valid for 'other.example.org'."),
        ("vendordata.example.org", "vendorsrv.conf", "NO_CERTIFICATE_OR_CRL_FOUND"),
    ],
)
def test_the_handshake_says_why_nova_refuses_the_servers_certificate(
    files: Path, host: str, bundle: str, expected: str | None
) -> None:
    """A handshake in memory verifies the chain and the host as Nova does, and returns the reason of a refusal."""
    settings = Settings.from_file(files / "vendorsrv.conf")
    assert expected == refusal(settings, host, str(files / bundle), None)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (("client", "client-key"), None),
        ("client-both", None),
        ("absent", "a file that nova.conf names does not exist or cannot be read"),
    ],
)
def test_the_handshake_says_why_the_server_refuses_novas_certificate(
    files: Path, client: str | tuple[str, str] | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ca_file, the handshake requires Nova's client certificate, and returns the reason of a refusal."""
    monkeypatch.chdir(files)
    assert expected == refusal(Settings.from_file("strict.conf"), "vendordata.example.org", "ca", client)
