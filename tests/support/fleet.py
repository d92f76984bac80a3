"""``vendorsrv serve`` as an operator runs it, asked by Nova's in great numbers, and workers that are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, Self
from uuid import UUID

import httpx

from tests.support import real_peers as peers
from tests.support.fake_keystone import FakeKeystone
from tests.support.processes import ROOT
from tests.support.serving import BODY, INSTANCE, JSON, free_port, section, write_config
from tests.support.waiting import wait_until

#: Seconds that a request may take here; Nova itself gives up after 5.
REQUEST_TIMEOUT: Final = 2.5


class Reply(NamedTuple):
    """What became of a request.

    :ivar status: 0 when the connection broke before there was an answer.
    :ivar seconds: that it took.
    """

    status: int
    body: bytes
    seconds: float
    instance: str


class Fleet:
    """A running ``vendorsrv serve``; a context manager.

    :param directory: for its configuration, log and state.
    :param sections: further sections of its configuration.
    :ivar runs: where the handlers of tests/support/handlers/keeping.py leave a file for each run.
    :ivar log: the file that it logs into.
    """

    def __init__(
        self,
        directory: Path,
        handlers: str = "Pinned",
        sections: str = "",
        *,
        workers: int = 1,
        takes: float = 0.0,
        state_path: Path | None = None,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.runs = directory / "runs"
        self.runs.mkdir(exist_ok=True)
        self.log = directory / "serve.log"
        self.keystone = FakeKeystone()
        self.directory = directory
        names = [name.strip() for name in handlers.split(",")]
        self.handlers = ", ".join(f"tests.support.handlers.keeping:{name}" for name in names)
        own = {"runs": self.runs, "takes": takes}
        slugs = [re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower() for name in names]
        self.sections = "".join(section(f"handler:{slug}", own) for slug in slugs) + sections
        self.workers = workers
        self.begins = 0
        self.state_path = state_path or directory
        self.port, self.admin_port = free_port(), free_port()
        limits = httpx.Limits(max_connections=60, max_keepalive_connections=60)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, limits=limits)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.client.close)
            undo.enter_context(self.keystone)
            self.token = self.keystone.issue("service")
            self.start()
            undo.callback(self.end)
            wait_until(self.answers)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            self.client.close()
            self.keystone.__exit__()

    def start(self) -> None:
        """Start it, and return at once."""
        config = write_config(
            self.directory,
            self.keystone,
            handlers=self.handlers,
            sections=self.sections,
            port=self.port,
            admin_port=self.admin_port,
            workers=self.workers,
            state_path=self.state_path,
            request_timeout=REQUEST_TIMEOUT,
        )
        peers.skip_if_unit()
        with self.log.open("a") as log:
            self.begins = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vendorsrv", "serve", "--config-file", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def answers(self) -> bool:
        """Whether every worker that there should be has started, and one answers."""
        assert self.process.poll() is None, self.log.read_text()
        with self.log.open() as log:
            log.seek(self.begins)  # not what it said before it was started again
            started = log.read().count("Application startup complete")
        return started >= self.workers and self.ask("/-/live").status == 405

    def ready(self) -> httpx.Response:
        """Ask whether it is ready."""
        return self.client.get("/-/ready")

    def end(self) -> int:
        """Stop it as an operator does, and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            for pid in self.worker_pids():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            raise

    def worker_pids(self) -> list[int]:
        """List the processes that answer."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def ask(self, path: str = "/pinned", instance: str = INSTANCE) -> Reply:
        """Post as Nova does."""
        started = time.monotonic()
        body = BODY.replace(INSTANCE.encode(), instance.encode())
        try:
            response = self.client.post(path, content=body, headers={**JSON, "X-Auth-Token": self.token})
        except httpx.TransportError:
            return Reply(0, b"", time.monotonic() - started, instance)
        return Reply(response.status_code, response.content, time.monotonic() - started, instance)

    def ask_all(self, instances: list[str], path: str = "/pinned", at_once: int = 24) -> list[Reply]:
        """Ask about some instances, some of them at once."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda instance: self.ask(path, instance), instances))

    def pause_runs(self) -> None:
        """Let no run end that begins now."""
        (self.runs / "paused").touch()

    def go_on(self) -> None:
        """Let the runs end."""
        (self.runs / "paused").unlink()

    def runs_of(self, instance: str) -> list[str]:
        """List what the runs for an instance would have answered."""
        return [path.name.partition(".")[2] for path in self.runs.glob(f"{instance}.*")]


def instances(count: int, first: int = 1) -> list[str]:
    """Return the ids of some instances."""
    return [str(UUID(int=number)) for number in range(first, first + count)]
