"""The ways to a server under attack: direct, and through HAProxy as docs/scaling.md has it; with TLS or not."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import requests

from bench.scaling_hosts import TLS, haproxy, recommended
from tests.support.fake_keystone import FakeKeystone
from tests.support.keystone import Keystone
from tests.support.peers.certificates import Authorities
from tests.support.peers.server import Server
from tests.support.serving import free_port
from tests.support.waiting import wait_until

#: The soft limit of files that a service has unless its unit says otherwise.
FILES: Final = 1024


class Target(NamedTuple):
    """A server that can be attacked.

    :ivar host, port: where strangers and Nova connect to.
    :ivar admin_port: where strangers connect to for the server's own pages.
    :ivar trust: the authority's file, if there is TLS.
    """

    server: Server
    host: str
    port: int
    admin_port: int
    trust: Path | None

    @property
    def url(self) -> str:
        """Nova's target."""
        return f"{'https' if self.trust else 'http'}://{self.host}:{self.port}/mailserver"

    @property
    def trusts(self) -> str | bool:
        """What the server's certificate is checked with, as requests wants it."""
        return str(self.trust) if self.trust else True

    def memory(self) -> int:
        """Return the resident bytes of the workers."""
        supervisor = self.server.process.pid
        pids = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        return sum(map(resident, pids))


def resident(pid: str) -> int:
    """Return the resident bytes of a process; none if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@contextmanager
def serving(folder: Path, keystone: Keystone | FakeKeystone, way: str, **options: object) -> Iterator[Target]:
    """Run a server with one worker and the usual limit of files.

    :param way: ``direct`` or ``HAProxy``, with ``, TLS`` or without.
    :param options: of ``[vendorsrv]``.
    """
    folder.mkdir()
    behind_haproxy, tls = way.startswith("HAProxy"), way.endswith("TLS")
    if behind_haproxy:
        options["trusted_proxies"] = "127.0.0.1"
    trust = None
    if tls:
        authorities = Authorities(folder)
        trust = authorities.ours
        if behind_haproxy:
            # HAProxy wants both in one file.
            (folder / "haproxy.pem").write_bytes(authorities.certificate.read_bytes() + authorities.key.read_bytes())
        options |= {"cert_file": authorities.certificate, "key_file": authorities.key}
    with ExitStack() as stack:
        with limited_files():
            server = Server(folder, keystone, {"vendorsrv": options}, trust=authorities.context() if tls else None)
            stack.enter_context(server)
        port = urlsplit(server.url).port or 0
        if behind_haproxy:
            port, behind = free_port(), port
            stack.enter_context(haproxy(folder / "haproxy.cfg", haproxy_config(folder, port, behind, tls=tls)))
        target = Target(server, "127.0.0.1", port, urlsplit(server.admin_url).port or 0, trust)
        wait_until(lambda: answers(target), 60)
        yield target


def answers(target: Target) -> bool:
    """Whether the way to the server is open: it refuses a request without a token."""
    try:
        return requests.post(target.url, verify=target.trusts, timeout=5).status_code == 401
    except requests.RequestException:
        return False


@contextmanager
def limited_files() -> Iterator[None]:
    """Start processes with the usual soft limit of files; this process has its own again afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def haproxy_config(folder: Path, port: int, behind: int, *, tls: bool) -> str:
    """Return the recommended configuration before one server."""
    text = recommended().replace("10.0.0.10:9090", f"127.0.0.1:{port}").replace("10.0.0.11:9090", f"127.0.0.1:{behind}")
    text = "".join(each for each in text.splitlines(keepends=True) if "    server two " not in each)
    if tls:
        text = text.replace("/etc/haproxy/vendordata.pem", f"{folder}/haproxy.pem")
        return text.replace("/etc/haproxy/ca.pem", f"{folder}/ours.pem")
    for each in TLS:
        text = text.replace(each, "")
    return text
