"""Boots by the dozen while workers are killed and servers stopped: one answer for each instance, and none lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.databases import database
from tests.support.fleet import Fleet, Reply, instances
from tests.support.pin_stores import make_table
from tests.support.serving import section
from tests.support.waiting import wait_until

CALLS = 6


@contextmanager
def fleet_on(store: str, directory: Path, workers: int) -> Iterator[Fleet]:
    """Run a server with some workers, whose handler pins and takes its time."""
    if store == "sqlite":
        with Fleet(directory, workers=workers, takes=0.05) as fleet:
            yield fleet
        return
    with database(store) as there:
        make_table(there.url)
        sections = section("database", {"connection": there.url})
        with Fleet(directory, sections=sections, workers=workers, takes=0.05) as fleet:
            yield fleet


class Storm:
    """Boots in another thread; each instance is asked for six times at once."""

    def __init__(self, fleet: Fleet, count: int) -> None:
        self.fleet = fleet
        self.asked = instances(count)
        self.replies: list[Reply] = []
        self.thread = threading.Thread(target=self.blow)
        self.thread.start()

    def blow(self) -> None:
        """Ask, and ask again where a connection broke, as a retried boot does."""
        calls = [instance for instance in self.asked for _ in range(CALLS)]
        while calls:
            replies = self.fleet.ask_all(calls)
            self.replies += replies
            calls = [reply.instance for reply in replies if reply.status != 200]

    def is_in_the_middle(self) -> bool:
        """Say whether runs have begun, and others have not."""
        begun = sum(1 for instance in self.asked if self.fleet.runs_of(instance))
        return begun > len(self.asked) // 4

    def answers(self) -> dict[str, set[bytes]]:
        """Wait for the end, and give all the answers that each instance was given."""
        self.thread.join(300)
        assert not self.thread.is_alive()
        return {
            instance: {reply.body for reply in self.replies if (reply.instance, reply.status) == (instance, 200)}
            for instance in self.asked
        }


@pytest.mark.parametrize(("store", "workers"), [("sqlite", 2), ("postgresql", 3), ("mariadb", 2)])
def test_an_instance_has_one_answer_though_a_worker_is_killed(tmp_path: Path, store: str, workers: int) -> None:
    """No instance gets two answers, and each is answered again with the same bytes by any worker."""
    with fleet_on(store, tmp_path, workers) as fleet:
        assert workers == len(fleet.worker_pids())
        storm = Storm(fleet, 40)
        wait_until(storm.is_in_the_middle)
        killed = fleet.worker_pids()[0]
        os.kill(killed, signal.SIGKILL)
        answers = storm.answers()
        assert [1] * 40 == [len(given) for given in answers.values()]
        wait_until(lambda: len({*fleet.worker_pids()} - {killed}) == workers)
        again = fleet.ask_all(storm.asked)
        assert answers == {reply.instance: {reply.body} for reply in again}
        assert {0, 200, 503} >= {reply.status for reply in storm.replies}
        assert 5.0 > max(reply.seconds for reply in storm.replies)


def test_a_stopping_server_answers_every_request_whose_run_has_begun(tmp_path: Path) -> None:
    """A client may find its connection closed, but then no run has begun for it."""
    replies: list[Reply] = []

    def boot_for_ever(first: int) -> None:
        asked = iter(instances(1000, first))
        while not replies or replies[-1].status:
            replies.append(fleet.ask("/unique", next(asked)))

    with Fleet(tmp_path, "Unique", workers=2, takes=0.2) as fleet:
        clients = [threading.Thread(target=boot_for_ever, args=(1000 * number,)) for number in range(1, 21)]
        for client in clients:
            client.start()
        wait_until(lambda: len(replies) > 20)
        assert 0 == fleet.end()
        for client in clients:
            client.join()
        begun = {path.name.partition(".")[0] for path in fleet.runs.iterdir()}
    assert {0, 200} == {reply.status for reply in replies}
    assert begun == {reply.instance for reply in replies if reply.status == 200}


def test_a_server_does_not_start_with_a_newer_schema(tmp_path: Path) -> None:
    """The log has one line that says to install the newer version, and no traceback."""
    with database("postgresql") as there:
        make_table(there.url)
        there.execute("UPDATE vendorsrv_version SET version_num = '9999'")
        fleet = Fleet(tmp_path, sections=section("database", {"connection": there.url}))
        with fleet.keystone:
            fleet.start()
            assert 1 == fleet.process.wait(60)
        fleet.client.close()
    log = fleet.log.read_text()
    line = "[database] connection: the schema (9999) is of a newer version of vendorsrv; install that version"
    assert (True, False) == (line in log, "Traceback" in log)
