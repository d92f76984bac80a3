"""A SQLite file of pins that fails under a real server: 503 in time, and never an answer that is not pinned."""

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
from tests.support.waiting import wait_until

NUMBERS: Final = count(1000, 100)


class Site(NamedTuple):
    """A server whose pins are in a file on a disk of a megabyte."""

    fleet: Fleet
    disk: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Each test heals what it breaks."""
    directory = tmp_path_factory.mktemp("site")
    with tiny_disk(directory / "disk", 2**20) as disk, Fleet(directory, state_path=disk) as fleet:
        yield Site(fleet, disk)


def test_a_full_disk_gives_what_is_pinned_and_pins_nothing_more(site: Site) -> None:
    """An instance without a pin has to wait until there is room."""
    old, new = instances(2, next(NUMBERS))
    before = site.fleet.ask(instance=old)
    filler = fill(site.disk)
    try:
        refused, given = site.fleet.ask(instance=new), site.fleet.ask(instance=old)
    finally:
        filler.unlink()
    assert (200, 200, before.body) == (before.status, given.status, given.body)
    assert (503, True) == (refused.status, b'"code": "pins_unavailable"' in refused.body)
    assert 5.0 > refused.seconds
    wait_until(lambda: site.fleet.ask(instance=new).status == 200)


def test_a_file_that_another_process_holds_gives_what_is_pinned_and_pins_nothing_more(site: Site) -> None:
    """A backup, say, that takes an exclusive transaction and does not end it."""
    old, new = instances(2, next(NUMBERS))
    before = site.fleet.ask(instance=old)
    with closing(sqlite3.connect(site.disk / "pins.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused, given = site.fleet.ask(instance=new), site.fleet.ask(instance=old)
        other.execute("ROLLBACK")
    assert (200, 200, before.body) == (before.status, given.status, given.body)
    assert (503, True) == (refused.status, b'"code": "pins_unavailable"' in refused.body)
    assert 5.0 > refused.seconds
    wait_until(lambda: site.fleet.ask(instance=new).status == 200)


def test_a_file_that_becomes_read_only_gives_what_is_pinned_and_pins_nothing_more(tmp_path: Path) -> None:
    """Not even root, who has it open, can write to an immutable file."""
    old, new = instances(2)
    with Fleet(tmp_path) as fleet:
        before = fleet.ask(instance=old)
        files = [str(path) for path in tmp_path.glob("pins.db*")]
        if subprocess.run(["chattr", "+i", *files], capture_output=True, check=False).returncode != 0:
            pytest.skip("a file that nobody can write needs chattr, root, and a file system that has it")
        try:
            refused, given = fleet.ask(instance=new), fleet.ask(instance=old)
        finally:
            subprocess.run(["chattr", "-i", *files], check=True)
        assert (200, 200, before.body) == (before.status, given.status, given.body)
        assert (503, True) == (refused.status, b'"code": "pins_unavailable"' in refused.body)
        wait_until(lambda: fleet.ask(instance=new).status == 200)


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """In one line, before any worker is there."""
    with tiny_disk(tmp_path / "disk", 2**20) as disk:
        (disk / "pins.db").touch()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        fleet = Fleet(tmp_path / "site", state_path=disk)
        fleet.start()
        assert 1 == fleet.process.wait(60)
        fleet.client.close()
    assert f"error: [vendorsrv] state_path: {disk}/pins.db cannot be written by this user\n" in fleet.log.read_text()
