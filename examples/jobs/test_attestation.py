"""The job with a fake Nova, and a verifier that knows the server's public key only."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from vendorsrv import ConfigError
from vendorsrv.testing import Reply, Server, serve

from examples.jobs.attestation import Attestation

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
INTERFACES = {"interfaceAttachments": [{"mac_addr": "fa:16:3e:0a:1b:2c", "port_state": "ACTIVE"}]}
WELL_KNOWN = "/.well-known/jwks.json"


def pem() -> bytes:
    """Return a new key."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The file of the key."""
    path = tmp_path / "key.pem"
    path.write_bytes(pem())
    return path


@pytest.fixture
def server(key_file: Path) -> Iterator[Server]:
    """A server that attests."""
    options = {"issuer": "https://vendordata.example.org", "key_file": key_file}
    with serve(Attestation, options=options, facts={}) as server:
        path = f"GET /compute/v2.1/servers/{INSTANCE}/os-interface"
        server.cloud.routes[path] = Reply(json.dumps(INTERFACES).encode())
        yield server


def decoded(text: str) -> bytes:
    """Return the bytes of base64url without its padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(statement: str, keys: dict[str, list[dict[str, str]]]) -> dict[str, object]:
    """Return what a statement claims, once its signature is verified."""
    (key,) = keys["keys"]
    signed, _, signature = statement.rpartition(".")
    Ed25519PublicKey.from_public_bytes(decoded(key["x"])).verify(decoded(signature), signed.encode())
    header, claims = (json.loads(decoded(part)) for part in signed.split("."))
    assert {"alg": "EdDSA", "typ": "JWT"} == header
    return dict(claims)


def test_a_statement_can_be_verified(server: Server) -> None:
    """Whoever has the public key can see which instance it is, and that nobody else made the statement."""
    claims = claims_of(server.ask(project_id="shop").json["statement"], server.get(WELL_KNOWN).json)
    assert isinstance(claims.pop("iat"), int)
    assert {
        "iss": "https://vendordata.example.org",
        "sub": INSTANCE,
        "project_id": "shop",
        "mac_addresses": ["fa:16:3e:0a:1b:2c"],
    } == claims


def test_the_public_key_may_be_cached(server: Server) -> None:
    """The key has its well-known place, and may be kept for five minutes."""
    assert "public, max-age=300" == server.get(WELL_KNOWN).headers["cache-control"]
    assert server.get(WELL_KNOWN).json == server.get(f"/{Attestation.name}{WELL_KNOWN}").json


@pytest.mark.parametrize("known", [None, {"project_id": "shop"}, {"status": "DELETED"}])
def test_other_instances_get_no_statement(server: Server, known: dict[str, object] | None) -> None:
    """An instance that does not exist, is deleted, or is another project's is refused."""
    server.cloud.facts["server"] = known
    answer = server.ask(project_id="other")
    assert (403, "forbidden") == (answer.status, answer.code)


def test_no_statement_without_nova(server: Server) -> None:
    """While Nova is down nothing is signed."""
    server.cloud.behaviours["nova"] = "failing"
    assert 503 == server.ask().status


def test_a_new_key_is_taken_at_once(server: Server, key_file: Path) -> None:
    """A key that replaces the old one signs the next statement, without a restart."""
    before = server.get(WELL_KNOWN).json
    key_file.with_suffix(".new").write_bytes(pem())
    key_file.with_suffix(".new").rename(key_file)
    assert before != server.get(WELL_KNOWN).json
    assert claims_of(server.ask().json["statement"], server.get(WELL_KNOWN).json)


def test_another_kind_of_key_stops_the_start(key_file: Path) -> None:
    """A server without an Ed25519 key does not start."""
    other = generate_private_key(SECP256R1())
    key_file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with (
        pytest.raises(ConfigError, match="open"),
        serve(Attestation, options={"issuer": "x", "key_file": key_file}, facts={}),
    ):
        pass
