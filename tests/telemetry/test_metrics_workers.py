"""The metrics of several workers: each worker returns the sums, and nothing is lost when one ends."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.fleet import Fleet
from tests.support.scraping import scrape
from tests.support.serving import BODY, JSON, is_free
from tests.support.waiting import wait_until

REQUESTS = 'vendorsrv_requests_total{code="",path="/unique",status="200"}'
RUNS = 'vendorsrv_handler_runs_total{handler="unique",outcome="ok"}'


@contextmanager
def counting(directory: Path, workers: int = 2) -> Iterator[Fleet]:
    """Run a server whose temporary files are in this directory."""
    (directory / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory / "tmp"))
        with Fleet(directory, "Unique", workers=workers) as fleet:
            yield fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server with two workers."""
    with counting(tmp_path_factory.mktemp("counting")) as fleet:
        yield fleet


def shared(fleet: Fleet) -> Path:
    """Return the directory with the shared counts."""
    (directory,) = (fleet.directory / "tmp").glob("vendorsrv-*")
    return directory


@contextmanager
def fresh(port: int) -> Iterator[httpx.Client]:
    """Return a client without open connections: any worker may accept its next one."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


def ask(fleet: Fleet) -> None:
    """Make a request, and wait until it is counted."""
    before = metrics(fleet).get(REQUESTS, 0)
    with fresh(fleet.port) as client:
        headers = {**JSON, "X-Auth-Token": fleet.token}
        assert 200 == client.post("/unique", content=BODY, headers=headers).status_code
    wait_until(lambda: recent(fleet).get(REQUESTS) == before + 1)


def recent(fleet: Fleet) -> dict[str, float]:
    """Return the metrics from any worker, which may have counted them a second ago."""
    with fresh(fleet.admin_port) as client:
        return scrape(client)


def metrics(fleet: Fleet) -> dict[str, float]:
    """Return the metrics from any worker, counted after this call."""
    let_texts_expire()
    return recent(fleet)


def let_texts_expire() -> None:
    """Wait for the second that a worker keeps its text."""
    asked = time.monotonic()
    wait_until(lambda: time.monotonic() > asked + 1)


@contextmanager
def alone(fleet: Fleet, pid: int) -> Iterator[None]:
    """Stop all workers but one."""
    others = set(fleet.worker_pids()) - {pid}
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def test_each_worker_returns_the_sums_of_all(fleet: Fleet) -> None:
    """A worker's metrics include the requests of another one that is stopped."""
    pids = fleet.worker_pids()
    assert 2 == len(pids)
    before = metrics(fleet)
    for pid in pids:
        with alone(fleet, pid):
            ask(fleet)
            ask(fleet)
    for pid in pids:
        with alone(fleet, pid):
            found = metrics(fleet)
            more = [found[each] - before.get(each, 0) for each in (REQUESTS, RUNS)]
            assert ([4, 4], 2) == (more, found["vendorsrv_workers"])


def test_killed_workers_lose_no_counts(fleet: Fleet) -> None:
    """After all workers are killed, the counters keep their values and the new workers are counted."""
    ask(fleet)
    before = metrics(fleet)
    for pid in fleet.worker_pids():
        os.kill(pid, signal.SIGKILL)
    starts = before["vendorsrv_worker_starts_total"] + 2
    wait_until(lambda: fleet.ask("/-/live").status == 405, 60)
    wait_until(lambda: recent(fleet)["vendorsrv_worker_starts_total"] == starts)
    wait_until(lambda: metrics(fleet)["vendorsrv_workers"] == 2)  # the killed ones are not counted
    found = metrics(fleet)
    assert (before[REQUESTS], before[RUNS], 2) == (found[REQUESTS], found[RUNS], found["vendorsrv_workers"])
    assert {"in_progress": 0} == {"in_progress": found.get("vendorsrv_requests_in_progress", 0)}


def test_a_reload_keeps_the_counts(fleet: Fleet) -> None:
    """After a reload the counters continue from the old workers' values."""
    ask(fleet)
    before = metrics(fleet)
    fleet.process.send_signal(signal.SIGHUP)
    starts = before["vendorsrv_worker_starts_total"] + 2
    wait_until(lambda: recent(fleet)["vendorsrv_worker_starts_total"] == starts, 60)
    wait_until(lambda: metrics(fleet)["vendorsrv_workers"] == 2, 60)
    ask(fleet)
    assert before[REQUESTS] + 1 == metrics(fleet)[REQUESTS]
    assert 3 >= len(list(shared(fleet).glob("*.counts")))


def test_reading_metrics_does_not_block_requests(fleet: Fleet) -> None:
    """A worker answers requests while its read of the metrics waits for a lock."""
    pid, *_ = fleet.worker_pids()
    with alone(fleet, pid), (shared(fleet) / "lock").open("ab") as lock, fresh(fleet.port) as client:
        let_texts_expire()
        fcntl.flock(lock, fcntl.LOCK_EX)
        found: list[dict[str, float]] = []
        reading = threading.Thread(target=lambda: found.append(recent(fleet)))
        reading.start()
        for _ in range(5):
            assert 200 == client.get("/-/live").status_code
        assert [] == found
        fcntl.flock(lock, fcntl.LOCK_UN)
        reading.join(60)
    assert 2 == found[0]["vendorsrv_workers"]


def test_a_worker_without_the_shared_directory_counts_alone(tmp_path: Path) -> None:
    """When the directory is gone, a new worker logs a warning, serves requests and counts alone."""
    with counting(tmp_path, workers=1) as fleet:
        ask(fleet)
        directory = shared(fleet)
        directory.rename(tmp_path / "moved")
        assert 1 == metrics(fleet)[REQUESTS]
        fleet.process.send_signal(signal.SIGHUP)
        line = "this worker does not share its metrics with the other workers: No such file or directory"
        wait_until(lambda: line in fleet.log.read_text(), 60)
        wait_until(
            lambda: "Finished server process" in fleet.log.read_text()
        )  # the old worker accepts no more requests
        assert REQUESTS not in metrics(fleet)
        ask(fleet)
        (tmp_path / "moved").rename(directory)


def test_the_shared_directory_is_private_and_removed(tmp_path: Path) -> None:
    """Only the server's user can read the shared counts, and a stopped server leaves no files."""
    with counting(tmp_path, workers=1) as fleet:
        assert 0o700 == shared(fleet).stat().st_mode & 0o777
        assert 0 == fleet.end()
    assert [] == list((tmp_path / "tmp").iterdir())


def test_the_directory_of_a_killed_server_is_removed_by_the_next(tmp_path: Path) -> None:
    """A server that is started after another one was killed removes the directory that was left."""
    with counting(tmp_path) as fleet:
        fleet.process.kill()
        fleet.process.wait(60)
        (left,) = (tmp_path / "tmp").iterdir()
        wait_until(lambda: is_free(fleet.port))
        fleet.start()
        wait_until(fleet.answers)
        assert [False, True] == [path.exists() for path in (left, *(tmp_path / "tmp").iterdir())]
    assert [] == list((tmp_path / "tmp").iterdir())
