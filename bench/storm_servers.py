"""The servers of a boot storm: a real Keystone with a token for each host, and contenders with several workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.databases import database
from tests.support.keystone import NOVA, VENDORSRV, Keystone
from tests.support.peers.server import Server
from tests.support.pin_stores import make_table
from tests.support.waiting import wait_until
from tests.support.wsgi_server import serving_wsgi

#: Threads of each of gunicorn's workers.
THREADS: Final = 8


class Target(NamedTuple):
    """A server that is ready for a storm.

    :ivar url: Nova's target.
    :ivar runs: a directory with a file for each run of its backend.
    :ivar pids: of its processes.
    """

    url: str
    runs: Path
    pids: frozenset[int]


@contextmanager
def cloud(directory: Path, hosts: int) -> Iterator[tuple[Keystone, list[str]]]:
    """Run a Keystone, and yield it and a token for each host, all of Nova's one account."""
    with Keystone(log_file=directory / "keystone.log") as keystone:
        keystone.create_accounts()
        yield keystone, [keystone.token(NOVA) for _ in range(hosts)]


@contextmanager
def serving_vendorsrv(directory: Path, keystone: Keystone, workers: int, delay: float) -> Iterator[Target]:
    """Run vendorsrv as shipped, with a handler that pins on PostgreSQL; its backend takes ``delay`` seconds."""
    runs = directory / "runs"
    runs.mkdir(parents=True)
    with database("postgresql") as pins:
        make_table(pins.url)
        options: dict[str, dict[str, object]] = {
            "vendorsrv": {"handlers": "tests.support.handlers.keeping:Pinned", "workers": workers},
            "database": {"connection": pins.url},
            "handler:pinned": {"runs": runs, "takes": delay},
        }
        before = descendants()
        with Server(directory, keystone, options) as server:
            wait_until(lambda: server.log.count("Application startup complete") >= workers, 120)
            yield Target(f"{server.url}/pinned", runs, descendants() - before)


@contextmanager
def serving_wsgi_contender(directory: Path, keystone: Keystone, workers: int, delay: float) -> Iterator[Target]:
    """Run keystonemiddleware around a WSGI application in gunicorn's threads, with the same backend."""
    runs = directory / "runs"
    runs.mkdir(parents=True)
    before = descendants()
    with serving_wsgi(
        directory, keystone.url, VENDORSRV, server="gunicorn", delay=delay, workers=workers, threads=THREADS, runs=runs
    ) as url:
        wait_until(lambda: (directory / "wsgi.log").read_text().count("Booting worker") >= workers, 60)
        yield Target(f"{url}/", runs, descendants() - before)


def descendants() -> frozenset[int]:
    """Return the ids of all descendants of this process."""
    found = {1}
    waiting = [Path("/proc/self/task")]
    while waiting:
        for thread in waiting.pop().iterdir():
            children = {int(pid) for pid in (thread / "children").read_text().split()} - found
            found |= children
            waiting += [Path(f"/proc/{pid}/task") for pid in children]
    return frozenset(found - {1})


def cpu_of(pids: frozenset[int]) -> float:
    """Return the CPU seconds of processes so far; an ended process counts as zero."""
    return sum(map(ticks, pids)) / os.sysconf("SC_CLK_TCK")


def ticks(pid: int) -> int:
    """Return a process's utime and stime (proc(5)); zero if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
