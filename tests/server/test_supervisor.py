"""The supervisor: workers that die, are silent or cannot start, and signals that come at any time."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import real_peers as peers
from tests.support.processes import ROOT
from tests.support.serving import free_port, is_free
from tests.support.waiting import wait_until


class Supervised:
    """Two workers of tests/support/supervised.py under a supervisor.

    :param folder: where files tell the application what to do.
    """

    def __init__(self, folder: Path, patience: float) -> None:
        self.folder = folder
        self.log_file = folder / "log"
        self.port = free_port()
        command = [sys.executable, "-m", "tests.support.supervised", str(folder), str(patience), str(self.port)]
        peers.skip_if_unit()
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        """What was logged so far."""
        return self.log_file.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the log has a text."""
        wait_until(lambda: self.log.count(text) >= times)

    def asking(self, path: str = "/") -> socket.socket:
        """Send a request, and return the connection on which the answer will come."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())
        return connection

    def worker(self) -> int:
        """Return the process id of the worker that answers a request."""
        return int(httpx.get(f"http://127.0.0.1:{self.port}", timeout=60).text)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def supervised(folder: Path, patience: float = 600.0) -> Iterator[Supervised]:
    """Run two workers, ready to answer."""
    found = Supervised(folder, patience)
    try:
        found.wait_for("Application startup complete", times=2)
        yield found
    finally:
        if found.process.poll() is None:
            found.end()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Supervised]:
    """Two workers with all the time that they want."""
    with supervised(tmp_path) as found:
        yield found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_all_workers(running: Supervised, number: signal.Signals) -> None:
    """SIGTERM and SIGINT stop the workers gracefully, and the exit status is 0."""
    assert 0 == running.end(number)
    assert 2 == running.log.count("Finished server process")


def test_other_signals_change_nothing(running: Supervised) -> None:
    """Signals without a meaning do not end the supervisor or its workers."""
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU):
        running.process.send_signal(number)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("Started server process", times=4)
    assert "died" not in running.log


def test_a_worker_that_dies_is_replaced(running: Supervised) -> None:
    """A killed worker is noticed and another one starts."""
    killed = running.worker()
    os.kill(killed, signal.SIGKILL)
    running.wait_for(f"Worker {killed} died, starting another")
    running.wait_for("Application startup complete", times=3)


def test_a_silent_worker_is_replaced(tmp_path: Path) -> None:
    """A worker that shows no sign of life for the supervisor's patience is killed, and another one starts."""
    with supervised(tmp_path, patience=5.0) as running:
        stopped = running.worker()
        os.kill(stopped, signal.SIGSTOP)
        running.wait_for(f"Worker {stopped} died, starting another")
        running.wait_for("Application startup complete", times=3)


def test_a_worker_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    """A server whose workers cannot start says so and ends with status 1."""
    (tmp_path / "broken").touch()
    broken = Supervised(tmp_path, 600.0)
    assert 1 == broken.process.wait(60)
    assert "a worker could not start; the log says why" == broken.log.splitlines()[-1]


@pytest.mark.parametrize(("name", "patience"), [("broken", 600.0), ("hold", 5.0)])
def test_a_new_worker_that_does_not_start_replaces_none(tmp_path: Path, name: str, patience: float) -> None:
    """After a reload with a worker that fails, or that is not ready in time, the old workers go on serving."""
    with supervised(tmp_path, patience) as running:
        (tmp_path / name).touch()
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("A new worker could not start; the old workers keep running")
        assert running.worker() in map(int, re.findall(r"Started server process \[(\d+)\]", running.log)[:2])


def test_signals_during_a_reload_are_one(running: Supervised) -> None:
    """SIGHUPs that arrive during a reload lead to one more reload."""
    hold = running.folder / "hold"
    hold.touch()
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("Received SIGHUP")
    for _ in range(10):
        running.process.send_signal(signal.SIGHUP)
    hold.unlink()
    running.wait_for("Finished server process", times=4)
    assert 0 == running.end()
    assert 2 == running.log.count("Received SIGHUP")


def test_a_stop_during_a_reload_does_not_wait_for_it(running: Supervised) -> None:
    """SIGTERM ends a reload whose new worker has not started, and then the server."""
    (running.folder / "hold").touch()
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("Started server process", times=3)
    assert 0 == running.end()
    assert 2 == running.log.count("Finished server process")
    assert "could not start" not in running.log


def test_a_stop_goes_before_reloads(running: Supervised) -> None:
    """SIGTERM stops all workers at once, also while one that is replaced finishes a request, and before any SIGHUP."""
    (running.folder / "busy").touch()
    with running.asking() as asking:
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("Waiting for connections to close")
        for _ in range(10):
            running.process.send_signal(signal.SIGHUP)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("Stopping the workers")
        (running.folder / "busy").unlink()
        assert asking.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
    assert 0 == running.process.wait(60)
    assert 1 == running.log.count("Received SIGHUP")


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """SIGTERM ends the server even if a worker has been stopped and does not take signals."""
    with supervised(tmp_path, patience=5.0) as running:
        stopped = running.worker()
        os.kill(stopped, signal.SIGSTOP)
        assert 0 == running.end()
    assert 1 == running.log.count(f"Worker {stopped} did not stop in time, killing it")


def stop(running: Supervised) -> None:
    """Stop a worker as a debugger does."""
    os.kill(running.worker(), signal.SIGSTOP)


def block(running: Supervised) -> None:
    """Block a worker for ever."""
    with running.asking("/block"):
        running.wait_for("blocked")


@pytest.mark.parametrize("happens", [Supervised.worker, stop, block])
def test_workers_end_with_their_supervisor(tmp_path: Path, happens: Callable[[Supervised], object]) -> None:
    """A killed supervisor leaves no worker, not even one that is stopped or blocked: a new server gets the port."""
    with supervised(tmp_path) as running:
        happens(running)
        running.end(signal.SIGKILL)
        wait_until(lambda: is_free(running.port))


def test_a_worker_whose_supervisor_has_ended_does_not_start() -> None:
    """A worker that is forked while its supervisor ends does not outlive it."""
    code = "from vendorsrv.server.supervisor import end_with; end_with(0)"
    peers.skip_if_unit()
    assert 3 == subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode
