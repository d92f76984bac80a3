"""Two hosts on this machine: network namespaces, a server in each, and HAProxy before them as the docs have it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final
from urllib.parse import urlsplit

import httpx

from bench.cores import CONTENDER, DRIVER, on_core
from bench.growth_footprint import seconds_of_all
from tests.support.keystone import VENDORSRV
from tests.support.peers.server import Options, configuration
from tests.support.processes import ROOT
from tests.support.serving import free_port
from tests.support.waiting import wait_until

#: What the kernel calls the hosts' namespaces and our ends of the wires to them.
NAME: Final = "vendorsrv-bench{}"
WIRE: Final = "vsbench{}"
#: Addresses that are nobody's but benchmarks' (RFC 2544): ours is .1, the host's is .2.
NETWORK: Final = "198.18.{}."
HOSTS: Final = (1, 2)
PORT: Final = 9090
#: Where the first host has the server that HAProxy asks alone.
ALONE: Final = 9091
#: A place that no core has: no core is chosen.
ANY: Final = 2**16
#: What docs/scaling.md recommends, and what is replaced in it here.
PAGE: Final = ROOT / "docs/scaling.md"
BLOCK: Final = re.compile(r"^```text haproxy.cfg\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TLS: Final = (" ssl crt /etc/haproxy/vendordata.pem", " ssl verify required ca-file /etc/haproxy/ca.pem")
#: How HAProxy passes on what is no HTTP.
TCP: Final = "\n    mode tcp\n    timeout connect 1s\n    timeout client 1h\n    timeout server 1h\n"
#: How it ends with us, however we end; what runs in a namespace is found there by the next run.
WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
SERVED_BY: Final = "X-Served-By"


def why_not() -> str | None:
    """Say what is missing for hosts on this machine; None when nothing is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [program for program in ("ip", "haproxy", "setpriv") if which(program) is None]
    if missing:
        return f"no {' and no '.join(missing)}: sh scripts/debian-packages.sh test"
    if ip("link", "add", WIRE.format(0), "type", "veth", check=False).returncode:
        return "the kernel lets us make no network interface"
    ip("link", "del", WIRE.format(0))
    return None


def ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Call iproute2."""
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@contextmanager
def wired() -> Iterator[None]:
    """Make the hosts' namespaces and the wires to them; what an earlier run has left is removed before."""
    with Path(tempfile.gettempdir(), "vendorsrv-bench.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # their names are the machine's
        remove()
        try:
            for number in HOSTS:
                name, wire, network = (each.format(number) for each in (NAME, WIRE, NETWORK))
                ip("netns", "add", name)
                ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name)
                ip("address", "add", f"{network}1/30", "dev", wire)
                ip("link", "set", wire, "up")
                ip("-n", name, "address", "add", f"{network}2/30", "dev", "eth0")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "link", "set", "eth0", "up")
            yield
        finally:
            remove()


def remove() -> None:
    """End what runs in the namespaces, and remove them with their wires."""
    for number in HOSTS:
        name = NAME.format(number)
        for pid in ip("netns", "pids", name, check=False).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", name, check=False)
        ip("link", "del", WIRE.format(number), check=False)


@dataclass(frozen=True, slots=True)
class Host:
    """A host with a running server.

    :ivar number: one of :data:`HOSTS`.
    :ivar pid: of its supervisor.
    """

    number: int
    pid: int

    def seconds(self) -> float:
        """Give the processor time that its server has taken."""
        return seconds_of_all(self.pid)

    def cut_off(self) -> None:
        """Pull its wire: nobody reaches it, and it reaches neither Keystone nor the database."""
        ip("-n", NAME.format(self.number), "link", "set", "eth0", "down")

    def join(self) -> None:
        """Put the wire back."""
        ip("-n", NAME.format(self.number), "link", "set", "eth0", "up")


@dataclass(frozen=True, slots=True)
class Cloud:
    """Hosts behind one address.

    :ivar hosts: with a worker each.
    :ivar alone: the first one, with a server of its own for being asked alone: as many workers as all that share its
        core otherwise, since processes take the processor's caches from each other wherever they belong to.
    :ivar one: the URL at which HAProxy asks that one.
    :ivar two: and the one at which it asks both.
    """

    hosts: Sequence[Host]
    alone: Host
    one: str
    two: str


@contextmanager
def cloud(
    folder: Path, keystone_url: str, database_url: str, options: Options, *, shared_core: bool = False
) -> Iterator[Cloud]:
    """Run two hosts behind HAProxy, through which they reach Keystone and the database, too.

    :param database_url: of a PostgreSQL on a port of this machine, which has our table.
    :param options: of both servers, by section.
    :param shared_core: the servers have the core that contenders have, and HAProxy that of wrk.
    """
    keystone = urlsplit(keystone_url).port or 5000
    database = urlsplit(database_url).port or 5432
    ports = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(wired())
        with on_core(DRIVER if shared_core else ANY):
            stack.enter_context(haproxy(folder / "haproxy.cfg", haproxy_config(ports, {keystone, database})))
        for number in HOSTS:
            # Keystone's catalog says that it is on loopback, whoever asks.
            relay = "defaults" + TCP + listen(keystone, ["127.0.0.1"], f"{NETWORK.format(number)}1")
            within = ("ip", "netns", "exec", NAME.format(number))
            stack.enter_context(haproxy(folder / f"relay{number}.cfg", relay, within=within))
        servers = []
        for number, port, workers in ((1, PORT, 1), (2, PORT, 1), (1, ALONE, len(HOSTS) if shared_core else 1)):
            database_at = database_url.replace("127.0.0.1", f"{NETWORK.format(number)}1")
            own = {"host": f"{NETWORK.format(number)}2", "port": port, "workers": workers, **options["vendorsrv"]}
            sections = {**options, "vendorsrv": own, "database": {"connection": database_at}}
            with on_core(CONTENDER if shared_core else ANY):
                server = serving(folder / f"host{number}-{port}", number, keystone_url, sections)
                servers.append(stack.enter_context(server))
        one, two = (f"http://127.0.0.1:{port}" for port in ports)
        wait_until(lambda: served_by(two) | served_by(two) == {"one", "two"} and served_by(one) == {"one"}, 60)
        yield Cloud(servers[:2], servers[2], one, two)


def served_by(url: str) -> set[str]:
    """Ask HAProxy who answers."""
    try:
        return {httpx.get(f"{url}/-/live", timeout=10).headers.get(SERVED_BY, "")}
    except httpx.TransportError:
        return set()


@contextmanager
def serving(folder: Path, number: int, keystone_url: str, options: Options) -> Iterator[Host]:
    """Run ``vendorsrv serve`` on a host."""
    folder.mkdir()
    path = folder / "vendorsrv.conf"
    path.touch(0o600)
    path.write_text(configuration(folder, keystone_url, VENDORSRV, options))
    command = [sys.executable, "-m", "vendorsrv", "serve", "--config-file", str(path)]
    with (folder / "vendorsrv.log").open("wb") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", NAME.format(number), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )
    try:
        yield Host(number, process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def haproxy(path: Path, text: str, *, within: Sequence[str] = WITH_US) -> Iterator[None]:
    """Run HAProxy with a configuration.

    :param within: the words of the command that runs it elsewhere.
    """
    path.write_text(text)
    command = [*within, "haproxy", "-db", "-f", str(path)]
    with path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, path.with_suffix(".log").read_text()[-2000:]
    finally:
        process.kill()
        process.wait(60)


def recommended() -> str:
    """Give the configuration that docs/scaling.md has."""
    found = BLOCK.search(PAGE.read_text())
    assert found, "docs/scaling.md has no haproxy.cfg"
    return found[1]


def haproxy_config(ports: tuple[int, int], relayed: set[int]) -> str:
    """Give the recommended configuration, without TLS and for these hosts, and what only a benchmark needs."""
    text = recommended()
    for each in TLS:
        text = text.replace(each, "")
    for number in HOSTS:
        text = text.replace(f"10.0.0.{10 + number}", f"{NETWORK.format(number)}2")
    text = text.replace("10.0.0.10:9090", f"127.0.0.1:{ports[1]}")
    text += f"    http-response set-header {SERVED_BY} %s\n"
    backend = text[text.index("\nbackend vendorsrv\n") :].replace("\nbackend vendorsrv\n", "\nbackend alone\n")
    alone = "".join(each for each in backend.splitlines(keepends=True) if "server two " not in each)
    text += alone.replace(f":{PORT}\n", f":{ALONE}\n")
    text += f"\nfrontend alone\n    bind 127.0.0.1:{ports[0]}\n    default_backend alone\n"
    for port in sorted(relayed):
        text += listen(port, [f"{NETWORK.format(number)}1" for number in HOSTS], "127.0.0.1")
    return text


def listen(port: int, addresses: Sequence[str], target: str) -> str:
    """Give the section that passes on a port."""
    binds = ",".join(f"{address}:{port}" for address in addresses)
    return f"\nlisten relay{port}{TCP}    bind {binds}\n    server there {target}:{port}\n"
