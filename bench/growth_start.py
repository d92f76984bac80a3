"""What it takes to start a server, by the clock and by the processor, and what one more handler or worker adds."""

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
#: Seconds between two looks whether it is ready, and until one gives up.
LOOK: Final = 0.01
PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """What a start took, and what it left.

    :ivar seconds: from the start of the process until ``/-/ready`` is 200.
    :ivar processor: seconds that all of its processes were at work until then.
    :ivar worker: a worker's memory then.
    :ivar everything: MB that all of its processes have together.
    """

    seconds: float
    processor: float
    worker: Memory
    everything: float


class Started:
    """A server that has just become ready.

    :ivar pid: of the supervisor.
    :ivar url: of the server.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, seconds: float) -> None:
        self.pid = process.pid
        self.url = f"http://127.0.0.1:{port}"
        self.worker = children_of(self.pid)[0]
        self.start = Start(seconds, seconds_of_all(self.pid), memory_of(self.worker), share_of_all(self.pid))


@contextmanager
def started(directory: Path, keystone: Keystone, **options: Mapping[str, object]) -> Iterator[Started]:
    """Start ``vendorsrv serve`` as an operator does, and wait until it is ready.

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
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
    try:
        while not is_ready(port):
            assert process.poll() is None, (directory / "vendorsrv.log").read_text()[-2000:]
            assert time.perf_counter() - begun < PATIENCE, "it does not become ready"
            time.sleep(LOOK)
        yield Started(process, port, time.perf_counter() - begun)
    finally:
        process.terminate()
        process.wait(30)


def is_ready(port: int) -> bool:
    """Say whether a request would be answered now."""
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
            connection.sendall(READY)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def starts(directory: Path, keystone: Keystone, times: int, **options: Mapping[str, object]) -> Start:
    """Start a server some times, and give the median of each figure."""
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
