"""Signed statements about instances (JWT, RFC 8037), and the public key for whoever checks them."""

import json
import time
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from oslo_config import cfg
from vendorsrv import Handler, VendordataRequest, WatchedFile
from vendorsrv.facts import Server


class Attestation(Handler):
    """Attest to an instance that it exists, in which project, and with which network interfaces."""

    name = "attestation"
    needs = (Server,)
    verify = True
    routes = {".well-known/jwks.json": "jwks"}
    max_age = 300.0
    options = (
        cfg.StrOpt("issuer", required=True, sample_default="https://vendordata.example.org", help="Who attests."),
        cfg.StrOpt("key_file", required=True, sample_default="/etc/vendorsrv/key.pem", help="An Ed25519 key in PEM."),
    )

    async def open(self) -> None:
        self.key = WatchedFile(self.settings.key_file, load)
        _ = self.key.value  # without a key the worker does not start

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        server, nova = request.facts.server, {"service_type": "compute"}
        attached = await self.openstack.get(f"/servers/{server.id}/os-interface", endpoint_filter=nova)
        claims = {
            "iss": self.settings.issuer,
            "sub": server.id,
            "iat": int(time.time()),
            "project_id": server.project_id,
            "mac_addresses": [each["mac_addr"] for each in attached.json()["interfaceAttachments"]],
        }
        header = {"alg": "EdDSA", "typ": "JWT"}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        return {"statement": f"{signed}.{encoded(self.key.value.sign(signed.encode()))}"}

    async def jwks(self) -> dict[str, object]:
        public = self.key.value.public_key().public_bytes_raw()
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": encoded(public)}]}


def load(text: str) -> Ed25519PrivateKey:
    key = load_pem_private_key(text.encode(), None)
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ValueError("it is not an Ed25519 key")


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
