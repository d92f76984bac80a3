"""A real Keystone on SQLite, in a process of its own on a free loopback port, for the demo and the tests."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import secrets
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from vendorsrv.errors import ConfigError

DOMAIN = "default"


@dataclass(kw_only=True, eq=False)
class LocalKeystone:
    """A running Keystone, as a context manager; starting takes about 5 s, and 150 MB of memory.

    It has the domain ``default``, the project and the user ``admin``, and Keystone's own roles: ``admin``,
    ``manager``, ``member``, ``reader`` and ``service``. Its process ends, and its directory goes, when this
    object is stopped or when this process dies in whatever way: its standard input ends then.

    :param directory: where Keystone keeps its data: created when missing, kept afterwards, and found again by
        the next start. Without one, Keystone makes its own and removes it.
    :param log_file: where Keystone's log goes, a line for each request among it; nowhere by default.
    :param port: the loopback port; 0 takes a free one, which the next start takes again.
    :param start_timeout: seconds that starting may take.
    :param stop_timeout: seconds after which stopping becomes killing, which leaves the directory behind.
    :ivar url: where Keystone answers, ending in ``/v3``.
    :ivar password: the password of the user ``admin``.
    """

    directory: Path | None = None
    log_file: Path | None = None
    port: int = 0
    start_timeout: float = 120.0
    stop_timeout: float = 30.0
    url: str = field(default="", init=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), init=False, repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start Keystone and return once it answers.

        :raises ConfigError: the ``keystone`` package is missing, or Keystone did not start; it says why.
        """
        if any(importlib.util.find_spec(name) is None for name in ("keystone", "waitress")):
            raise ConfigError("the keystone package is not installed: pip install 'vendorsrv[demo]'")
        with contextlib.ExitStack() as undo, self._open_log() as log:
            undo.callback(self.stop)
            # A session of its own: Ctrl-C goes to every process of the terminal's foreground group.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vendorsrv.demo.keystone_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
            self._wait_until_ready(self.process, log)
            undo.pop_all()
        self._admin = self.session("admin", self.password, "admin")

    def stop(self) -> None:
        """End Keystone's process and wait for it; harmless when it is not running."""
        process, self.process = self.process, None
        if process is None:
            return
        # A stopped process (SIGSTOP) would never see its input end.
        process.send_signal(signal.SIGCONT)
        with process:
            try:
                process.communicate(timeout=self.stop_timeout)
            except subprocess.TimeoutExpired:
                process.kill()

    def create_project(self, name: str) -> str:
        """Create a project in the domain ``default`` and return its id.

        :raises ConfigError: Keystone refuses, as when the name is taken.
        """
        body = {"project": {"name": name, "domain_id": DOMAIN}}
        return str(self.request("POST", "/projects", body)["project"]["id"])

    def create_user(self, name: str, password: str, project: str, roles: Iterable[str]) -> str:
        """Create a user who has these roles (names) in this project (a name), and return the user's id.

        :raises ConfigError: Keystone refuses, or there is no such project or role.
        """
        user = {"name": name, "password": password, "domain_id": DOMAIN}
        user_id = str(self.request("POST", "/users", {"user": user})["user"]["id"])
        project_id = self.id_of("projects", project)
        for role in roles:
            self.request("PUT", f"/projects/{project_id}/users/{user_id}/roles/{self.id_of('roles', role)}")
        return user_id

    def session(self, user: str, password: str, project: str) -> Session:
        """Return a keystoneauth session of this user, scoped to this project (a name)."""
        auth = v3.Password(
            self.url,
            username=user,
            password=password,
            project_name=project,
            user_domain_id=DOMAIN,
            project_domain_id=DOMAIN,
        )
        return Session(auth=auth, timeout=30)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Keystone's API as ``admin`` and return the answer's JSON, or None when the answer is empty.

        :param path: what follows ``/v3``.
        :raises ConfigError: Keystone refuses or does not answer.
        """
        try:
            response = self._admin.request(self.url + path, method, json=body)
        except ClientException as error:
            raise ConfigError(f"the local Keystone failed at {method} {path}: {error}") from error
        return response.json() if response.content else None

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a project, a user or a role by its name.

        :param kind: ``projects``, ``users`` or ``roles``.
        :raises ConfigError: there is none.
        """
        found = self.request("GET", f"/{kind}?name={name}")[kind]
        if not found:
            raise ConfigError(f"the local Keystone has no {name} among its {kind}")
        return str(found[0]["id"])

    def _open_log(self) -> IO[bytes]:
        return self.log_file.open("a+b") if self.log_file else tempfile.TemporaryFile()

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"directory": str(self.directory or ""), "port": self.port, "password": self.password}
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        if not select.select([process.stdout], [], [], self.start_timeout)[0]:
            raise ConfigError(f"the local Keystone did not start within {self.start_timeout:g} seconds")
        line = process.stdout.readline()
        if not line:
            log.seek(0)
            reasons = [text for text in log.read().decode(errors="replace").splitlines() if text.strip()]
            # The last line of a traceback is the error itself.
            raise ConfigError(f"the local Keystone did not start: {(reasons or ['it gave no reason'])[-1]}")
        ready = json.loads(line)
        self.port, self.url = ready["port"], ready["url"]
