"""Two hosts on this machine: a server in each of two network namespaces, behind HAProxy as docs/scaling.md has it."""

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

#: The names of the hosts' namespaces, and of our ends of their links.
NAME: Final = "vendorsrv-bench{}"
LINK: Final = "vsbench{}"
#: The network of each host, reserved for benchmarks (RFC 2544): .1 is this machine, .2 is the host.
NETWORK: Final = "198.18.{}."
HOSTS: Final = (1, 2)
PORT: Final = 9090
#: The port of the first host's second server, which is measured alone.
ALONE: Final = 9091
#: No core of this index exists, so none is chosen.
ANY: Final = 2**16
#: The recommended configuration in docs/scaling.md, and the parts of it that are removed here.
PAGE: Final = ROOT / "docs/scaling.md"
BLOCK: Final = re.compile(r"^```text haproxy.cfg\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TLS: Final = (" ssl crt /etc/haproxy/vendordata.pem", " ssl verify required ca-file /etc/haproxy/ca.pem")
#: Settings for relaying TCP.
TCP: Final = "\n    mode tcp\n    timeout connect 1s\n    timeout client 1h\n    timeout server 1h\n"
#: Ends HAProxy when this process ends; processes in a namespace are ended by the next run.
WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
SERVED_BY: Final = "X-Served-By"


def missing_requirement() -> str | None:
    """Return why hosts cannot run on this machine; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [program for program in ("ip", "haproxy", "setpriv") if which(program) is None]
    if missing:
        return f"no {' and no '.join(missing)}: sh scripts/debian-packages.sh test"
    if ip("link", "add", LINK.format(0), "type", "veth", check=False).returncode:
        return "the kernel does not allow creating a network interface"
    ip("link", "del", LINK.format(0))
    return None


def ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run iproute2."""
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@contextmanager
def network_of_hosts() -> Iterator[None]:
    """Create the hosts' namespaces and links; remnants of an earlier run are removed first."""
    with Path(tempfile.gettempdir(), "vendorsrv-bench.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # their names are the machine's
        remove()
        try:
            for number in HOSTS:
                name, link, network = (each.format(number) for each in (NAME, LINK, NETWORK))
                ip("netns", "add", name)
                ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
                ip("address", "add", f"{network}1/30", "dev", link)
                ip("link", "set", link, "up")
                ip("-n", name, "address", "add", f"{network}2/30", "dev", "eth0")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "link", "set", "eth0", "up")
            yield
        finally:
            remove()


def remove() -> None:
    """End the processes in the namespaces, and remove the namespaces and links."""
    for number in HOSTS:
        name = NAME.format(number)
        for pid in ip("netns", "pids", name, check=False).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", name, check=False)
        ip("link", "del", LINK.format(number), check=False)


@dataclass(frozen=True, slots=True)
class Host:
    """A host with a running server.

    :ivar number: one of :data:`HOSTS`.
    :ivar pid: of its supervisor.
    """

    number: int
    pid: int

    def seconds(self) -> float:
        """Return the CPU seconds of its server."""
        return seconds_of_all(self.pid)

    def disconnect(self) -> None:
        """Take its link down: it cannot be reached, and reaches neither Keystone nor the database."""
        ip("-n", NAME.format(self.number), "link", "set", "eth0", "down")

    def reconnect(self) -> None:
        """Bring its link up again."""
        ip("-n", NAME.format(self.number), "link", "set", "eth0", "up")


@dataclass(frozen=True, slots=True)
class Cloud:
    """Hosts behind one address.

    :ivar hosts: both hosts, with a worker each.
    :ivar alone: the first host's second server, for measuring one host. On a shared core it has two workers: as many
        processes compete for the processor's caches as with two hosts.
    :ivar one: HAProxy's URL for one host.
    :ivar two: HAProxy's URL for both hosts.
    """

    hosts: Sequence[Host]
    alone: Host
    one: str
    two: str


@contextmanager
def cloud(
    folder: Path, keystone_url: str, database_url: str, options: Options, *, shared_core: bool = False
) -> Iterator[Cloud]:
    """Run two hosts behind HAProxy; they reach Keystone and the database through HAProxy as well.

    :param database_url: of a PostgreSQL on this machine that has the table of pins.
    :param options: of both servers, by section.
    :param shared_core: run the servers on the contenders' core, and HAProxy on that of wrk.
    """
    keystone = urlsplit(keystone_url).port or 5000
    database = urlsplit(database_url).port or 5432
    ports = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(network_of_hosts())
        with on_core(DRIVER if shared_core else ANY):
            stack.enter_context(haproxy(folder / "haproxy.cfg", haproxy_config(ports, {keystone, database})))
        for number in HOSTS:
            # Keystone's catalog has its loopback address, for hosts too.
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
    """Return the host that answers one request, by its name in HAProxy; empty if none does."""
    try:
        return {httpx.get(f"{url}/-/live", timeout=10).headers.get(SERVED_BY, "")}
    except httpx.TransportError:
        return set()


@contextmanager
def serving(folder: Path, number: int, keystone_url: str, options: Options) -> Iterator[Host]:
    """Run ``vendorsrv serve`` in a host's namespace."""
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

    :param within: the command to run it with.
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
    """Return the configuration of docs/scaling.md."""
    found = BLOCK.search(PAGE.read_text())
    assert found, "docs/scaling.md has no haproxy.cfg"
    return found[1]


def haproxy_config(ports: tuple[int, int], relayed: set[int]) -> str:
    """Return the recommended configuration for these hosts, without TLS, and with the sections of the benchmark."""
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
    """Return a section that relays a TCP port."""
    binds = ",".join(f"{address}:{port}" for address in addresses)
    return f"\nlisten relay{port}{TCP}    bind {binds}\n    server there {target}:{port}\n"
