"""A SQLite file that fails under a real server: 503 in time, and never an unpinned answer."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.disks import fill, tiny_disk
from tests.support.fleet import Fleet, instances
from tests.support.serving import error_of
from tests.support.waiting import wait_until

NUMBERS: Final = count(1000, 100)


class Site(NamedTuple):
    """A server with its pins on a disk of one megabyte."""

    fleet: Fleet
    disk: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that the tests share; each test repairs what it breaks."""
    directory = tmp_path_factory.mktemp("site")
    with tiny_disk(directory / "disk", 2**20) as disk, Fleet(directory, state_path=disk) as fleet:
        yield Site(fleet, disk)


def test_on_a_full_disk_pins_are_served_and_new_instances_get_503(site: Site) -> None:
    """With a full disk, pinned answers are served and new instances are answered 503 until there is room."""
    old, new = instances(2, next(NUMBERS))
    before = site.fleet.ask(instance=old)
    filler = fill(site.disk)
    try:
        refused, served = site.fleet.ask(instance=new), site.fleet.ask(instance=old)
    finally:
        filler.unlink()
    assert (200, 200, before.body) == (before.status, served.status, served.body)
    assert (503, True) == (refused.status, b'"code": "pins_unavailable"' in refused.body)
    assert 5.0 > refused.seconds
    wait_until(lambda: site.fleet.ask(instance=new).status == 200)


def test_on_a_full_disk_the_server_is_not_ready(site: Site) -> None:
    """While the disk with the pins is full, /-/ready is 503 and says that the pin store does not answer."""
    wait_until(lambda: site.fleet.ready().status_code == 200)
    filler = fill(site.disk)
    try:
        wait_until(lambda: site.fleet.ready().status_code == 503)
        refused = site.fleet.ready()
    finally:
        filler.unlink()
    assert (503, "pins_unavailable", "the pin store does not answer (OperationalError)") == error_of(refused)
    wait_until(lambda: site.fleet.ready().status_code == 200)


def test_while_another_process_locks_the_file_pins_are_served_and_new_instances_get_503(site: Site) -> None:
    """While a backup holds an exclusive transaction, pins are served and new instances are answered 503."""
    old, new = instances(2, next(NUMBERS))
    before = site.fleet.ask(instance=old)
    with closing(sqlite3.connect(site.disk / "pins.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused, served = site.fleet.ask(instance=new), site.fleet.ask(instance=old)
        other.execute("ROLLBACK")
    assert (200, 200, before.body) == (before.status, served.status, served.body)
    assert (503, True) == (refused.status, b'"code": "pins_unavailable"' in refused.body)
    assert 5.0 > refused.seconds
    wait_until(lambda: site.fleet.ask(instance=new).status == 200)


def test_from_a_read_only_file_pins_are_served_and_new_instances_get_503(tmp_path: Path) -> None:
    """When the file becomes immutable, pins are served and new instances are answered 503."""
    old, new = instances(2)
    with Fleet(tmp_path) as fleet:
        before = fleet.ask(instance=old)
        files = [str(path) for path in tmp_path.glob("pins.db*")]
        if subprocess.run(["chattr", "+i", *files], capture_output=True, check=False).returncode != 0:
            pytest.skip("a file that nobody can write needs chattr, root, and a file system that has it")
        try:
            refused, served = fleet.ask(instance=new), fleet.ask(instance=old)
        finally:
            subprocess.run(["chattr", "-i", *files], check=True)
        assert (200, 200, before.body) == (before.status, served.status, served.body)
        assert (503, True) == (refused.status, b'"code": "pins_unavailable"' in refused.body)
        wait_until(lambda: fleet.ask(instance=new).status == 200)


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """A server whose SQLite file is read-only exits with status 1 and one line that says so."""
    with tiny_disk(tmp_path / "disk", 2**20) as disk:
        (disk / "pins.db").touch()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        fleet = Fleet(tmp_path / "site", state_path=disk)
        with fleet.keystone:
            fleet.start()
            assert 1 == fleet.process.wait(60)
        fleet.client.close()
    assert f"error: [vendorsrv] state_path: this user cannot write {disk}/pins.db\n" in fleet.log.read_text()
