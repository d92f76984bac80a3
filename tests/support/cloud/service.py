"""A service of the cloud: a process, its log, and whether it still runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import httpx

#: Seconds that a service may take to start, or a step of the set-up to end: far above what a busy machine needs.
PATIENCE: Final = 180.0
#: Seconds after which stopping becomes killing.
STOP_TIMEOUT: Final = 30.0
ROOT: Final = Path(__file__).parents[3]


class CloudError(Exception):
    """The cloud cannot go on; the text names the service, what is wrong, and its log."""


@dataclass(kw_only=True, eq=False)
class Service:
    """A process that ends with this one, in whatever way this one ends (``setpriv --pdeathsig``, from util-linux).

    :param name: as messages have it; its log is ``<name>.log`` in the folder of the logs.
    :param logs: the folder.
    """

    name: str
    command: Sequence[str]
    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file with what the service logs and prints."""
        return self.logs / f"{self.name}.log"

    def start(self) -> None:
        """Start the process; its log begins anew. This is to be called by the main thread: the process ends with it."""
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "ignore", **self.environment},
                start_new_session=True,  # Ctrl-C goes to every process of the terminal's foreground group
            )

    def check(self) -> None:
        """Return if the process runs.

        :raises CloudError: it has ended.
        """
        if self.process is not None and self.process.poll() is not None:
            raise CloudError(f"{self.name} ended with status {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last line of the log, which of a traceback is the error, and where the log is."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{lines[-1] if lines else 'it said nothing'} (log: {self.log})"

    def finish(self) -> None:
        """Wait until the process has ended by itself, as a step of the set-up does.

        :raises CloudError: it failed, or did not end.
        """
        assert self.process is not None
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise CloudError(f"{self.name} did not end within {PATIENCE:g} s: {self.last_words()}") from error
        if status:
            self.check()

    def ask_to_stop(self) -> None:
        """Send SIGTERM; a stopped process gets to see it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Return when the process and all of its own have ended."""
        self.ask_to_stop()
        process, self.process = self.process, None
        if process is None:
            return
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            click.echo(f"{self.name} did not stop within {STOP_TIMEOUT:g} s, and is killed", err=True)
        finally:
            # Its group is its session; a child of a service that was killed would go on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(what: str, condition: Callable[[], object], services: Sequence[Service]) -> None:
    """Return as soon as a condition holds; an OSError of it means that it does not hold yet.

    :param what: it is waited for, as the message has it.
    :param services: that have to run meanwhile.
    :raises CloudError: one of them ended, or it did not hold within :data:`PATIENCE`.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        for service in services:
            service.check()
        with suppress(OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            logs = services[0].logs if services else "of the services"
            raise CloudError(f"{what} did not come within {PATIENCE:g} s (logs: {logs})")
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Return whether a server answers at a URL, and with no server error."""
    try:
        return httpx.get(url, timeout=10, trust_env=False).status_code < 500
    except httpx.TransportError:
        return False


def proportional_kib(process: Path, sessions: set[int]) -> int:
    """Return the PSS of a process, in KiB, if it is of one of these sessions (see proc(5))."""
    try:
        if int((process / "stat").read_text().rpartition(")")[2].split()[3]) not in sessions:
            return 0
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no second Ctrl-C, and no SIGTERM, stop what cleans up after the first."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
