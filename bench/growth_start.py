"""How long ``vendorsrv serve`` takes to start, in seconds and in CPU seconds, and its memory then."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.growth_footprint import Memory, children_of, memory_of, seconds_of_all, share_of_all
from tests.support.keystone import VENDORSRV, Keystone
from tests.support.peers.server import configuration
from tests.support.processes import ROOT
from tests.support.serving import free_port

READY: Final = b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: Seconds between two checks whether the server is ready, and until the start counts as failed.
INTERVAL: Final = 0.01
TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """The figures of a start.

    :ivar seconds: from the start of the process until ``/-/ready`` is 200.
    :ivar processor: CPU seconds of all its processes until then.
    :ivar worker: a worker's memory then.
    :ivar everything: memory of all its processes together, in MB.
    """

    seconds: float
    processor: float
    worker: Memory
    everything: float


class Started:
    """A server that has just become ready.

    :ivar pid: the supervisor's.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, seconds: float) -> None:
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{port}"
        self.worker = children_of(self.pid)[0]
        self.start = Start(seconds, seconds_of_all(self.pid), memory_of(self.worker), share_of_all(self.pid))


@contextmanager
def started(directory: Path, keystone: Keystone, **options: Mapping[str, object]) -> Iterator[Started]:
    """Run ``vendorsrv serve``, and wait until it is ready.

    :param options: by section, as tests/support/peers/server.py takes them.
    """
    directory.mkdir(exist_ok=True)
    port = free_port()
    path = directory / "vendorsrv.conf"
    path.touch(0o600)
    own: dict[str, Any] = {**options, "vendorsrv": {**options.get("vendorsrv", {}), "port": port}}
    path.write_text(configuration(directory, keystone.url, VENDORSRV, own))
    command = [sys.executable, "-m", "vendorsrv", "serve", "--config-file", str(path)]
    with (directory / "vendorsrv.log").open("wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
    try:
        while not is_ready(port):
            assert process.poll() is None, (directory / "vendorsrv.log").read_text()[-2000:]
            assert time.perf_counter() - start < TIMEOUT, "the server does not become ready"
            time.sleep(INTERVAL)
        yield Started(process, port, time.perf_counter() - start)
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    """Whether ``/-/ready`` is 200."""
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
            connection.sendall(READY)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def starts(directory: Path, keystone: Keystone, times: int, **options: Mapping[str, object]) -> Start:
    """Start a server several times, and return the median of each figure."""
    found = []
    for _ in range(times):
        with started(directory, keystone, **options) as server:
            found.append(server.start)
    return Start(
        round(statistics.median(each.seconds for each in found), 2),
        round(statistics.median(each.processor for each in found), 2),
        Memory(
            round(statistics.median(each.worker.resident for each in found), 1),
            round(statistics.median(each.worker.share for each in found), 1),
        ),
        round(statistics.median(each.everything for each in found), 1),
    )
