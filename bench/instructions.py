"""How many CPU instructions a request takes in the server's process, counted by callgrind.

Other work on the machine hardly changes the count. The server's periodic work is off meanwhile.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from bench.bare import LISTENING, floor, serve_bare
from bench.contenders import newest_child
from bench.facts import WITH_IMAGE
from bench.goals import NO_GOAL, at_most
from tests.support.fake_keystone import FakeKeystone
from tests.support.processes import ROOT, listening
from tests.support.serving import section, write_config
from vendorsrv import Settings
from vendorsrv.server.app import create_app
from vendorsrv.server.serve import uvicorn_config
from vendorsrv.server.worker import WorkerServer
from vendorsrv.telemetry.logs import set_up_logging
from vendorsrv.testing import FakeCloud

#: Requests that are counted, after as many for warming up.
REQUESTS: Final = 200
#: The goal in thousands of instructions, with CPython 3.11: the count when the goal was set, and 15 %.
#: ``located`` is ``trivial`` with three facts that are known, which may add a tenth.
LIMITS: Final = {"floor": None, "trivial": 550, "located": 605, "cached": 385, "pinned": 395}
COLLECTED: Final = re.compile(r"Collected : (\d+)")
LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
HANDLERS: Final = ", ".join(f"bench.handlers:{name}" for name in ("Trivial", "Located", "Cached", "Pinned"))


def serve(config_file: str, name: str) -> None:
    """Serve until SIGTERM, without periodic work."""
    settings = Settings.from_file(config_file)
    set_up_logging(settings.conf)
    if name == "floor":
        serve_bare(settings, floor)
        return
    application = create_app(settings)
    assert application.pin_service
    reader = application.pin_service.pins.store.reader
    assert reader
    # Under callgrind the first read takes longer than a reader may, which would have pins read in a thread.
    reader.clock = float
    config = uvicorn_config(settings, application, 1)
    WorkerServer(config, on_started=lambda: application.watchdog.stop()).run()  # noqa: PLW0108 - there is none yet


class Client:
    """One persistent connection; it sends head and body of a request in one write."""

    def __init__(self, url: str, name: str, token: str) -> None:
        address = urlsplit(url)
        self.connection = socket.create_connection((address.hostname, address.port), timeout=60)
        head = [
            f"POST /{name} HTTP/1.1",
            f"Host: {address.netloc}",
            "User-Agent: openstack-nova-vendordata",
            "Accept-Encoding: gzip, deflate",
            "Accept: application/json",
            "Connection: keep-alive",
            "Content-Type: application/json",
            f"X-Auth-Token: {token}",
            f"Content-Length: {len(WITH_IMAGE)}",
        ]
        self.request = "\r\n".join([*head, "", ""]).encode() + WITH_IMAGE

    def post(self) -> None:
        """Send a request, and check that the response is 200 and complete."""
        self.connection.sendall(self.request)
        received = b""
        while not (length := LENGTH.search(received)) or not received.endswith(b"}"):
            received += self.connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 "), received
        assert int(length[1]) == len(received.partition(b"\r\n\r\n")[2])


def count(name: str) -> float:
    """Return the thousands of instructions of one request.

    :raises AssertionError: valgrind cannot run this Python, or the server does not answer.
    """
    with TemporaryDirectory() as folder, FakeKeystone() as keystone, FakeCloud() as cloud:
        facts = section("facts", {"keep_for": 3600}) + section("service_account", cloud.options)
        config = write_config(Path(folder), keystone, handlers=HANDLERS, sections=facts)
        counted = Path(folder, "callgrind")
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        server = [*tool, f"--log-file={counted}", sys.executable, "-m", "bench.instructions", str(config), name]
        with listening(server, Path(folder, "log"), LISTENING, {"PYTHONHASHSEED": "0"}) as url:
            client = Client(url, name, keystone.issue("service"))
            for switch in ("on", "off"):
                for _ in range(REQUESTS):
                    client.post()
                control = ["callgrind_control", "-i", switch, str(newest_child())]
                subprocess.run(control, cwd=ROOT, check=True, capture_output=True)
            client.connection.close()
        return round(sum(map(int, COLLECTED.findall(counted.read_text()))) / REQUESTS / 1000, 1)


def report() -> list[dict[str, object]]:
    """Return a row for each kind of request; without valgrind, one that says so."""
    if which("callgrind_control") is None:
        return [{"what": "instructions", "reached": "not measured: no valgrind"}]
    counts = {name: count(name) for name in LIMITS}
    return [
        {
            "what": f"thousands of instructions of a request: {name}",
            "value": found,
            "in floors": round(found / counts["floor"], 2),
            **(at_most(found, limit) if (limit := LIMITS[name]) else NO_GOAL),
        }
        for name, found in counts.items()
    ]


if __name__ == "__main__":
    serve(*sys.argv[1:])
