"""The server under test, at three distances: its settings, the application in a thread, and a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from tests.support import real_peers as peers
from tests.support.fake_keystone import ACCOUNT, PASSWORD, FakeKeystone
from tests.support.processes import ROOT
from tests.support.waiting import wait_until
from vendorsrv import Settings, create_app
from vendorsrv.server.serve import listen, uvicorn_config
from vendorsrv.server.worker import WorkerServer

T = TypeVar("T")
INSTANCE: Final = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
#: A body as Nova sends it.
BODY: Final = (
    b'{"project-id": "1f2e", "instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "image-id": "", '
    b'"user-data": null, "hostname": "web-1", "metadata": {}, "boot-roles": "member,Mail-Admin"}'
)
#: For clients of plain HTTP, which would read all certificates of the system else.
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
JSON: Final = {"Content-Type": "application/json"}

SERVE: Final = """\
import sys
from vendorsrv.errors import ConfigError
from vendorsrv.server.serve import serve
try:
    serve(sys.argv[1])
except ConfigError as error:
    sys.exit(f"error: {error}")
"""


def write_config(
    directory: Path,
    keystone: FakeKeystone | None = None,
    *,
    handlers: str = "tests.support.handlers.good:Echo",
    sections: str = "",
    authtoken: Mapping[str, object] | None = None,
    **options: object,
) -> Path:
    """Write a configuration file of a server that validates tokens with the fake Keystone.

    :param sections: the text of further sections.
    :param authtoken: options of ``[keystone_authtoken]`` that are added or replaced.
    :param options: options of ``[vendorsrv]``.
    """
    account = {
        "auth_type": "password",
        "auth_url": keystone.url if keystone else "http://127.0.0.1:9/v3",
        "www_authenticate_uri": "https://keystone.example:5000/v3",
        "username": ACCOUNT,
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        **(authtoken or {}),
    }
    path = directory / "vendorsrv.conf"
    path.write_text(
        section("vendorsrv", {"port": 0, "admin_port": 0, "handlers": handlers, "state_path": directory, **options})
        + section("keystone_authtoken", account)
        + sections
    )
    return path


def section(name: str, options: Mapping[str, object]) -> str:
    """Return the text of one section; options that are None are left out."""
    lines = [f"{key} = {value}" for key, value in options.items() if value is not None]
    return "\n".join([f"[{name}]", *lines, ""])


class Server:
    """The application on a real socket, in a thread of this process.

    :param clock: what it takes for the time that passes.
    :ivar client: an HTTP client whose base is the server.
    :ivar admin: one whose base is the address of the server's own pages.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = create_app(settings, clock)
        config = uvicorn_config(settings, self.app, 1)
        listening = threading.Event()
        self.uvicorn = WorkerServer(config, on_started=listening.set)
        self.thread = threading.Thread(target=self.uvicorn.run, args=[listen(settings, config)], daemon=True)
        self.thread.start()
        wait_until(lambda: listening.is_set() or not self.thread.is_alive())
        assert listening.is_set(), "the server ended while it started"
        self.port, self.admin_port = (each.sockets[0].getsockname()[1] for each in self.uvicorn.servers)
        self.client, self.admin = (
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=NO_TLS)
            for port in (self.port, self.admin_port)
        )

    def ask(
        self, path: str, token: str | None, body: bytes = BODY, headers: Mapping[str, str] = JSON
    ) -> httpx.Response:
        """Post as Nova does."""
        sent = {**headers, **({} if token is None else {"X-Auth-Token": token})}
        return self.client.post(path, content=body, headers=sent)

    def connect(self) -> socket.socket:
        """Open a connection for what no HTTP client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def stop(self) -> None:
        """Stop as at SIGTERM."""
        self.client.close()
        self.admin.close()
        self.uvicorn.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "the server does not stop"


@contextmanager
def running(config: Path, clock: Callable[[], float] = time.monotonic) -> Iterator[Server]:
    """Serve a configuration in a thread."""
    server = Server(Settings.from_file(config), clock)
    try:
        yield server
    finally:
        server.stop()


class Process:
    """``serve`` in a process of its own.

    :param files: its limits of open files, the soft and the hard one; those of this process by default.
    :ivar log: the file that it logs into.
    """

    def __init__(self, config: Path, port: int, files: tuple[int, int] | None = None) -> None:
        limited = ("sh", "-c", f'ulimit -Sn {files[0]} && ulimit -Hn {files[1]} && exec "$@"', "sh") if files else ()
        peers.skip_if_unit()
        self.port = port
        self.log = config.with_name("serve.log")
        modules = config.parent  # handlers may stand beside the configuration
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*limited, sys.executable, "-c", SERVE, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}:{modules}"},
            )

    def client(self, verify: ssl.SSLContext | None = None) -> httpx.Client:
        """Return a client of it; over TLS when there is a context."""
        scheme = "https" if verify else "http"
        return httpx.Client(base_url=f"{scheme}://127.0.0.1:{self.port}", verify=verify or NO_TLS, timeout=60)

    def answers(self, verify: ssl.SSLContext | None = None) -> bool:
        """Whether it is alive."""
        with self.client(verify) as client:
            try:
                return client.get("/-/live").status_code == 200
            except httpx.TransportError:
                return False

    def wait_until_answers(self, verify: ssl.SSLContext | None = None) -> None:
        """Wait until it serves; a server that has ended before says why."""
        wait_until(lambda: self.process.poll() is not None or self.answers(verify), 60)
        assert self.process.poll() is None, f"{self.process.returncode}: {self.log.read_text()}"

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has logged a text."""
        wait_until(lambda: self.log.read_text().count(text) >= times)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end, and return the exit status."""
        return self.process.wait(60)


@contextmanager
def serving(config: Path, port: int = 0, files: tuple[int, int] | None = None) -> Iterator[Process]:
    """Serve a configuration in a process, which is ended with all its workers in any case."""
    process = Process(config, port, files)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.terminate()
            try:
                process.process.wait(60)
            except subprocess.TimeoutExpired:
                process.process.kill()
                process.process.wait()
                raise


#: The sockets of :func:`free_port`: bound, so that nobody else gets their ports, and not listening.
KEEPERS: Final[list[socket.socket]] = []


def free_port() -> int:
    """Return a loopback port where nobody listens, and which is the caller's as long as this process lives.

    Linux gives a bound port to nobody who asks for any, and lets a server that names it listen on it: every server sets
    SO_REUSEADDR.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    KEEPERS.append(keeper)
    return int(keeper.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server can listen on a port."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and message of an error, which must have the one shape."""
    error = response.json()["error"]
    assert error["request_id"] == response.headers["X-Openstack-Request-Id"]
    assert {"code", "title", "message", "request_id"} == set(error)
    return response.status_code, error["code"], error["message"]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own."""
    return asyncio.run(coroutine)
