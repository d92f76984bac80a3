"""A real HAProxy in front of a server: the peer is the client, however HAProxy forwards it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trustme

from tests.support.fixtures import House
from tests.support.real_peers import require_program
from tests.support.serving import BODY, JSON, Server, free_port, running, write_config
from tests.support.waiting import wait_until

#: The ways by which HAProxy forwards: its mode, options of its section, and of its server.
WAYS: Final = {
    "option forwardfor": ("http", "option forwardfor", ""),
    "option forwardfor and TLS": ("http", "option forwardfor", "ssl verify none"),
    "send-proxy": ("tcp", "", "send-proxy"),
    "send-proxy-v2": ("tcp", "", "send-proxy-v2"),
    "send-proxy-v2 and HAProxy's TLS": ("http", "", "send-proxy-v2 ssl verify none"),
    "send-proxy-v2 and the client's TLS": ("tcp", "", "send-proxy-v2"),
}
CONFIG: Final = """\
defaults
    timeout connect 60s
    timeout client 60s
    timeout server 60s
    source 127.0.0.2
"""


def section(number: int, way: str, port: int, server: Server) -> str:
    """Return the section of one way, whose checks are forwarded as the requests are."""
    mode, option, options = WAYS[way]
    return f"""\
listen way{number}
    mode {mode}
    bind 127.0.0.1:{port}
    {option}
    server one 127.0.0.1:{server.port} {options} check inter 100ms
"""


@pytest.fixture(scope="module")
def front(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """HAProxy before two servers that trust it, of which one speaks TLS: its URL for each way."""
    require_program("haproxy")
    folder = tmp_path_factory.mktemp("haproxy")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    files: dict[str, Any] = {"cert_file": folder / "cert.pem", "key_file": folder / "key.pem"}
    options: dict[str, Any] = {"trusted_proxies": "127.0.0.2"}
    (folder / "tls").mkdir()
    with (
        running(write_config(folder, house.keystone, **options)) as plain,
        running(write_config(folder / "tls", house.keystone, **options, **files)) as tls,
    ):
        ports = {way: free_port() for way in WAYS}
        sections = [section(number, way, ports[way], tls if "TLS" in way else plain) for number, way in enumerate(WAYS)]
        with haproxy(folder / "haproxy.cfg", CONFIG + "".join(sections)):
            yield {way: f"http{'s' if 'client' in way else ''}://127.0.0.1:{port}" for way, port in ports.items()}


@contextmanager
def haproxy(path: Path, text: str) -> Iterator[None]:
    """Run HAProxy with a configuration."""
    path.write_text(text)
    log = path.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(path)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait(60)


@pytest.mark.parametrize("way", WAYS)
def test_the_peer_behind_haproxy_is_its_client(house: House, front: dict[str, str], way: str) -> None:
    """The handler sees the address from which HAProxy was asked, for each request of each connection."""
    headers = {**JSON, "X-Auth-Token": house.nova}
    seen: list[str] = []

    def ask(client: httpx.Client) -> bool:
        with suppress(httpx.TransportError):
            response = client.post(f"{front[way]}/echo", content=BODY, headers=headers)
            if response.status_code == 200:
                seen.append(response.json()["peer"])
        return len(seen) == 2

    transport = httpx.HTTPTransport(local_address="127.0.0.7", verify=False)
    with httpx.Client(transport=transport, timeout=60) as client:
        wait_until(lambda: ask(client))
    assert ["127.0.0.7"] * 2 == seen
