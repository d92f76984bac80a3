"""Planned stops and reloads of two hosts under load, behind HAProxy with TLS as docs/scaling.md has it."""

from __future__ import annotations

import random
import re
import signal
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import trustme

from bench.effort import EFFORT, QUICK
from bench.goals import exactly
from bench.scaling_hosts import SERVED_BY, haproxy, recommended
from tests.support import real_peers as peers
from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, JSON, Process, free_port, write_config
from tests.support.waiting import wait_until

#: Concurrent clients, and the seconds that each waits for an answer (Nova's read timeout).
CLIENTS: Final = 16
TIMEOUT: Final = 5.0
#: Stops and reloads of each host.
TIMES: Final = 20
HANDLERS: Final = "bench.handlers:Trivial, bench.scaling_handlers:Unhurried"
PATHS: Final = ("/trivial", "/trivial", "/unhurried")
#: The names of the hosts in the recommended configuration.
NAMES: Final = ("one", "two")
#: The value of ``drain_seconds`` that docs/scaling.md recommends.
DRAIN: Final = 5.0


@dataclass(slots=True)
class Load:
    """Requests to HAProxy as Nova sends them: over connections that are kept, and over new ones.

    :ivar served: how many answers each host gave, by its name in HAProxy.
    :ivar lost: what came instead of an answer with 200.
    """

    url: str
    token: str
    trust: ssl.SSLContext
    timeout: float
    served: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests meanwhile."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            sending = [pool.submit(self.send_requests) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self.ended.set()
        for each in sending:
            each.result()

    def send_requests(self) -> None:
        """Send requests until the load ends, up to 20 over one connection."""
        while not self.ended.is_set():
            with httpx.Client(base_url=self.url, verify=self.trust, timeout=self.timeout) as client:
                for _ in range(random.randint(1, 20)):
                    self.send(client)

    def send(self, client: httpx.Client) -> None:
        """Send one request."""
        path, headers = random.choice(PATHS), {**JSON, "X-Auth-Token": self.token}
        try:
            response = client.post(path, content=BODY, headers=headers)
        except httpx.TransportError as error:
            self.lost.append(f"{path}: {type(error).__name__}")
            return
        if response.status_code == 200:
            self.served[response.headers[SERVED_BY]] += 1
        else:
            self.lost.append(f"{path}: {response.status_code}")

    @property
    def sent(self) -> int:
        """How many requests have ended."""
        return sum(self.served.values()) + len(self.lost)

    def wait_for(self, name: str) -> None:
        """Wait until a host has answered a request that was sent now or later."""
        enough = self.served[name] + CLIENTS + 1
        wait_until(lambda: self.served[name] >= enough, 60)


@dataclass(slots=True)
class Host:
    """A server with a certificate on a loopback port."""

    name: str
    config: Path
    port: int
    process: Process

    def stop_and_start(self) -> None:
        """Stop it as systemd does, and start it again."""
        self.process.signal(signal.SIGTERM)
        assert self.process.end() == 0
        self.process = Process(self.config, self.port)

    def kill(self) -> None:
        """End it in any case; its worker ends with it."""
        self.process.process.kill()
        self.process.end()

    def reload(self) -> None:
        """Replace its worker."""
        self.process.signal(signal.SIGHUP)
        self.process.wait_for("Finished server process", times=self.process.log.read_text().count("Finished") + 1)


@dataclass(frozen=True, slots=True)
class Result:
    """What one kind of event cost.

    :ivar count: of events, on both hosts together.
    :ivar requests: that were sent meanwhile.
    :ivar lost: what came instead of an answer with 200.
    """

    count: int
    requests: int
    lost: list[str]


@contextmanager
def hosts(folder: Path, timeout: float) -> Iterator[tuple[list[Host], Load]]:
    """Run two hosts behind HAProxy, and the load."""
    authority, front, ports = trustme.CA(), free_port(), (free_port(), free_port())
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with FakeKeystone() as keystone, ExitStack() as stack:
        found = []
        for name, port in zip(NAMES, ports, strict=True):
            (folder / name).mkdir()
            config = write_config(
                folder / name,
                keystone,
                handlers=HANDLERS,
                port=port,
                drain_seconds=DRAIN,
                request_timeout=0.9 * timeout,
                shutdown_timeout=timeout,
                cert_file=folder / "server.pem",
                key_file=folder / "server.pem",
            )
            found.append(Host(name, config, port, Process(config, port)))
            stack.callback(found[-1].kill)
            found[-1].process.wait_until_answers(trust)
        stack.enter_context(haproxy(folder / "haproxy.cfg", haproxy_config(folder, front, ports, timeout)))
        load = Load(f"https://127.0.0.1:{front}", keystone.issue("service"), trust, timeout)
        with httpx.Client(base_url=load.url, verify=trust, timeout=timeout) as client:
            wait_until(lambda: answers(client))
        with load.running():
            for host in found:
                load.wait_for(host.name)
            yield found, load


def haproxy_config(folder: Path, front: int, ports: tuple[int, int], timeout: float) -> str:
    """Return the recommended configuration with our files, ports and a header that names the host."""
    text = recommended()
    for old, new in (
        ("/etc/haproxy/vendordata.pem", f"{folder}/server.pem"),
        ("/etc/haproxy/ca.pem", f"{folder}/ca.pem"),
        ("10.0.0.10:9090", f"127.0.0.1:{front}"),
        ("10.0.0.11:9090", f"127.0.0.1:{ports[0]}"),
        ("10.0.0.12:9090", f"127.0.0.1:{ports[1]}"),
    ):
        assert old in text, f"docs/scaling.md has no {old}"
        text = text.replace(old, new)
    if timeout != TIMEOUT:
        text = re.sub(r"timeout (connect|http-request|client|server|queue) .*", rf"timeout \1 {timeout:g}s", text)
    return f"{text}    http-response set-header {SERVED_BY} %s\n"


def answers(client: httpx.Client) -> bool:
    """Whether HAProxy has a host that serves."""
    try:
        return client.get("/-/live").status_code == 200
    except httpx.TransportError:
        return False


def stop_and_reload(times: int, timeout: float = TIMEOUT) -> dict[str, Result]:
    """Stop each host, and reload each host, some times; return what that cost.

    :param timeout: seconds that clients wait; another value replaces HAProxy's own timeouts, and the server's, too.
    """
    events: dict[str, Callable[[Host], None]] = {"stop": Host.stop_and_start, "reload": Host.reload}
    results = {}
    with TemporaryDirectory() as name, hosts(Path(name), timeout) as (both, load):
        for event, act in events.items():
            sent, lost = load.sent, len(load.lost)
            for host in both * times:
                act(host)
                load.wait_for(host.name)
            results[event] = Result(len(both) * times, load.sent - sent, load.lost[lost:])
    return results


def report() -> list[dict[str, object]]:
    """Return a row for the stops and one for the reloads."""
    peers.require_program("haproxy")
    rows: list[dict[str, object]] = []
    for event, found in stop_and_reload(2 if EFFORT.get() is QUICK else TIMES).items():
        lost = len(found.lost)
        what = f"{found.count} {event}s behind HAProxy: requests lost"
        more = f"{found.requests} requests, {CLIENTS} at a time; lost: {dict(Counter(found.lost)) or 'none'}"
        rows.append({"what": what, "value": lost, **exactly(lost, 0), "more": more})
    return rows
