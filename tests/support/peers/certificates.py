"""Certificates for servers on loopback."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


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
