"""Our real server, as an operator runs it: ``vendorsrv serve`` with a configuration file, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx

from tests.support.fake_keystone import FakeKeystone
from tests.support.keystone import VENDORSRV, Account
from tests.support.peers.nova import ROOT, section
from tests.support.waiting import wait_until
from vendorsrv.demo.keystone import LocalKeystone

LISTENING: Final = re.compile(r"Uvicorn running on (https?://127\.0\.0\.1:\d+) ")
ADMIN: Final = re.compile(r"Metrics and API documentation on (http://127\.0\.0\.1:\d+)[\n\"]")
JSON: Final = {"Content-Type": "application/json"}
#: The instance of tests/support/peers/nova.py, as Nova posts it.
BODY: Final = (
    b'{"project-id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e", "instance-id": "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0b", '
    b'"image-id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d", "user-data": "I2Nsb3VkLWNvbmZpZwo=", '
    b'"hostname": "mail-1", "metadata": {"tier": "gold"}, "boot-roles": "member,reader"}'
)
#: Options by section, e.g. ``{"vendorsrv": {"workers": 2}}``.
Options = Mapping[str, Mapping[str, object]]


class Server:
    """A running vendorsrv, as a context manager; starting takes 2 s.

    :param directory: where its configuration and its log are written.
    :param keystone: who validates tokens; need not run.
    :param options: are added to, and replace, those of a server for the mail-server example.
    :param account: the server's own.
    :param trust: what its certificate is checked with, when ``options`` turn TLS on.
    :ivar url: where it listens.
    :ivar admin_url: where it listens for metrics and documentation.
    :ivar client: an HTTP client whose base is the server.
    """

    def __init__(
        self,
        directory: Path,
        keystone: LocalKeystone | FakeKeystone,
        options: Options | None = None,
        *,
        account: Account = VENDORSRV,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.log_file = directory / "vendorsrv.log"
        self.configuration = directory / "vendorsrv.conf"
        self.configuration.touch(0o600)
        self.configuration.write_text(configuration(directory, keystone.url, account, options or {}))
        self.trust = trust or ssl.create_default_context()

    def __enter__(self) -> Self:
        with self.log_file.open("wb") as log:
            # From the checkout, where module:Class finds the tests' handlers.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vendorsrv", "serve", "--config-file", str(self.configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        try:
            wait_until(self.listens)
            self.url, self.admin_url = (each.findall(self.log)[0] for each in (LISTENING, ADMIN))
            self.client = httpx.Client(base_url=self.url, verify=self.trust, timeout=60)
            wait_until(self.lives)
        except BaseException:
            self.signal_all(signal.SIGKILL)
            self.process.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        with self.process:
            self.signal_all(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.signal_all(signal.SIGKILL)
                raise

    @property
    def log(self) -> str:
        """All that the server has written so far, to standard output and to standard error."""
        return self.log_file.read_text()

    def listens(self) -> bool:
        """Whether the log has the addresses.

        :raises AssertionError: it has the reason why there will be none.
        """
        assert self.process.poll() is None, f"the server ended: {self.log[-2000:]}"
        return all(each.search(self.log) for each in (LISTENING, ADMIN))

    def lives(self) -> bool:
        """Whether a worker answers."""
        assert self.process.poll() is None, f"the server ended: {self.log[-2000:]}"
        try:
            return self.client.get("/-/live").status_code == 200
        except httpx.TransportError:
            return False

    def ready(self) -> bool:
        """Whether a request could be answered now."""
        return self.client.get("/-/ready").status_code == 200

    def post(self, path: str, token: str | None, body: bytes = BODY, **headers: str) -> httpx.Response:
        """Post as Nova does."""
        own = {} if token is None else {"X-Auth-Token": token}
        return self.client.post(path, content=body, headers={**JSON, **own, **headers})

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor and its workers, if there are any."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def configuration(directory: Path, keystone_url: str, account: Account, options: Options) -> str:
    """Return the text of a configuration file."""
    sections: dict[str, dict[str, Any]] = {
        "DEFAULT": {},
        "vendorsrv": {"port": 0, "admin_port": 0, "handlers": "mailserver"},
        "keystone_authtoken": account.options(keystone_url),
        "database": {"connection": f"sqlite:///{directory}/pins.db"},
        "handler:mailserver": {"domain": "example.org", "relayhost": "relay.example.org"},
    }
    names = [*sections, *(name for name in options if name not in sections)]
    return "".join(section(name, {**sections.get(name, {}), **options.get(name, {})}) for name in names)


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and message of an error."""
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


def send(server: Server, peer: str, token: str) -> socket.socket:
    """Send a request from an address of loopback, and leave the answer unread."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60, source_address=(peer, 0))
    head = f"POST /mailserver HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Auth-Token: {token}\r\n"
    connection.sendall(f"{head}Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n".encode() + BODY)
    return connection


def status(connection: socket.socket) -> int:
    """Read an answer to its end, and return its status."""
    with connection.makefile("rb") as answer:
        return int(answer.read().split()[1])
