"""Nova's own vendordata client, run in a process of its own and configured by its own options alone."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, Self

from tests.support.keystone import NOVA, Account
from vendorsrv.demo.keystone import LocalKeystone

ROOT = Path(__file__).parents[3]

#: An instance as Nova's own object has it; tests change single fields: ``{**INSTANCE, "hostname": None}``.
INSTANCE: Mapping[str, Any] = {
    "project_id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e",
    "uuid": "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0b",
    "image_ref": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
    "user_data": "I2Nsb3VkLWNvbmZpZwo=",
    "hostname": "mail-1",
    "metadata": {"tier": "gold"},
    "system_metadata": {"boot_roles": "member,reader"},
}


class Captured(NamedTuple):
    """A request as it arrived: the headers in their order and spelling, the body as bytes."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


class Nova:
    """Nova's ``DynamicVendorData`` as a context manager; starting it takes 3 s.

    As in a nova-compute, all calls share one session and one token, until the credentials change.

    :param directory: where nova.conf and Nova's own log are written.
    :param keystone: the Keystone of ``[vendordata_dynamic_auth]``, unless a call names another.
    """

    def __init__(self, directory: Path, keystone: LocalKeystone) -> None:
        self.configuration = directory / "nova.conf"
        self.log_file = directory / "nova.log"
        self.keystone = keystone

    def __enter__(self) -> Self:
        with self.log_file.open("wb") as log:
            # -m, since as a script its folder would be searched first, and this module found as `nova`.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.peers.nova_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.communicate()

    def vendordata(
        self,
        instance: Mapping[str, Any],
        targets: Sequence[str],
        *,
        fatal: bool = False,
        ssl_certfile: Path | None = None,
        as_user: Account | None = NOVA,
        keystone: LocalKeystone | None = None,
        connect_timeout: float = 5,
        read_timeout: float = 5,
    ) -> dict[str, Any]:
        """Let Nova collect the vendordata of an instance, and return what became of it.

        :param instance: fields of Nova's ``Instance``, as in :data:`INSTANCE`.
        :param targets: as in nova.conf, ``name@url``.
        :param fatal: ``vendordata_dynamic_failure_fatal``.
        :param as_user: whom Nova authenticates as; None configures no credentials at all.
        :return: ``{"value": {name: answer}, "log": [...]}``, or when Nova raised
            ``{"error": {"class", "message"}, "log": [...]}``. The log has the messages from WARNING up.
        """
        api = {
            "vendordata_dynamic_targets": ",".join(targets),
            "vendordata_dynamic_failure_fatal": fatal,
            "vendordata_dynamic_ssl_certfile": ssl_certfile or "",
            "vendordata_dynamic_connect_timeout": connect_timeout,
            "vendordata_dynamic_read_timeout": read_timeout,
        }
        credentials = self.credentials(as_user, keystone or self.keystone)
        self.configuration.write_text(section("api", api) + section("vendordata_dynamic_auth", credentials))
        return self._ask({"configuration": str(self.configuration), "instance": dict(instance)})

    def capture(self, instance: Mapping[str, Any], *, as_user: Account | None = NOVA) -> Captured:
        """Return the request that Nova makes for this instance to the target ``/mailserver``."""
        with listening() as (url, requests):
            outcome = self.vendordata(instance, [f"mail@{url}/mailserver"], as_user=as_user, fatal=True)
        assert {"mail": {}} == outcome["value"]
        [request] = requests
        return request

    def credentials(self, account: Account | None, keystone: LocalKeystone) -> dict[str, object]:
        """Return the options of ``[vendordata_dynamic_auth]``."""
        if account is None:
            return {}
        return {
            "auth_type": "password",
            "auth_url": keystone.url,
            "username": account.user,
            "password": account.password,
            "project_name": account.project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 60)[0], "Nova did not come back within a minute"
        line = self.process.stdout.readline()
        assert line, f"Nova ended: {self.log_file.read_text()[-2000:]}"
        outcome: dict[str, Any] = json.loads(line)
        return outcome


def section(name: str, options: Mapping[str, object]) -> str:
    """Return one section of an INI file."""
    return "\n".join([f"[{name}]", *(f"{option} = {value}" for option, value in options.items())]) + "\n"


@contextmanager
def listening() -> Iterator[tuple[str, list[Captured]]]:
    """Serve on loopback, answer ``{}`` to everything, and return the URL and the list of requests so far."""
    requests: list[Captured] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(Captured(self.command, self.path, self.headers.items(), body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()
