"""How the commands connect to RabbitMQ."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vendorsrv.lifecycle.queues import ssl_of


@pytest.mark.parametrize(
    ("ssl", "cafile", "expected"),
    [(False, "/ca.pem", False), (True, "", True), (True, "/ca.pem", {"ca_certs": "/ca.pem"})],
)
def test_tls_is_as_the_listeners(ssl: bool, cafile: str, expected: object) -> None:
    """The connection uses TLS if [oslo_messaging_rabbit] ssl says so, with the files that are set."""
    options = SimpleNamespace(ssl=ssl, ssl_ca_file=cafile, ssl_key_file="", ssl_cert_file="")
    assert expected == ssl_of(options)
