"""Shared counts. Each object stands for a process: file locks treat them alike."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from tests.support.disks import fill, tiny_disk
from vendorsrv import ConfigError
from vendorsrv.telemetry.shared_counts import Counts, metrics_directory

KEY = ("requests", "/mail")


def counting(directory: Path, number: float, *, key: tuple[str, ...] = KEY) -> Counts:
    """Return a process's shared counts with one number."""
    counts = Counts()
    index = counts.index(key)
    counts.share(directory)
    counts.values[index] += number
    return counts


def test_counts_work_without_sharing() -> None:
    """Counts that are not shared return their own numbers."""
    counts = Counts()
    counts.values[counts.index(KEY)] += 2
    counts.index(("other",))
    assert ({KEY: 2.0, ("other",): 0.0}, {}) == counts.totals()


def test_a_key_has_one_index() -> None:
    """The same key always has the same index."""
    counts = Counts()
    assert [0, 1, 0] == [counts.index(KEY), counts.index(("other",)), counts.index(KEY)]


def test_sharing_keeps_earlier_counts(tmp_path: Path) -> None:
    """What was counted before share() is in the totals."""
    counts = Counts()
    counts.values[counts.index(KEY)] += 1.5
    counts.share(tmp_path)
    counts.values[counts.index(KEY)] += 1
    assert ({KEY: 2.5}, {}) == counts.totals()


def test_each_process_reads_the_sums_of_all(tmp_path: Path) -> None:
    """Each process reads the current sums of all, even with different keys."""
    first, second = counting(tmp_path, 2), counting(tmp_path, 3)
    other = counting(tmp_path, 4, key=("blocked",))
    for counts in (first, second, other):
        assert ({KEY: 5.0, ("blocked",): 4.0}, {}) == counts.totals()


def test_counts_survive_their_process(tmp_path: Path) -> None:
    """The numbers of an ended process are kept apart, are counted once, and its file is removed."""
    first, second, third = (counting(tmp_path, number) for number in (2, 3, 4))
    del second
    assert [({KEY: 6.0}, {KEY: 3.0})] * 2 == [first.totals(), third.totals()]
    del third
    assert [({KEY: 2.0}, {KEY: 7.0})] * 2 == [first.totals(), first.totals()]
    assert 1 == len(list(tmp_path.glob("*.counts")))


def test_without_the_directory_each_process_has_its_own_counts(tmp_path: Path) -> None:
    """When the directory is removed, counting continues and the totals are the process's own."""
    directory = tmp_path / "counts"
    directory.mkdir()
    first, _second = counting(directory, 2), counting(directory, 3)
    shutil.rmtree(directory)
    first.values[first.index(KEY)] += 1
    assert ({KEY: 3.0}, {}) == first.totals()


def test_a_failed_share_keeps_the_counts(tmp_path: Path) -> None:
    """When the directory does not exist, share() raises and the numbers stay."""
    counts = Counts()
    counts.values[counts.index(KEY)] += 2
    with pytest.raises(FileNotFoundError):
        counts.share(tmp_path / "none")
    assert ({KEY: 2.0}, {}) == counts.totals()


def test_a_full_disk_fails_the_share_cleanly(tmp_path: Path) -> None:
    """On a full disk share() raises, instead of a later write killing the process, and leaves no file."""
    with tiny_disk(tmp_path / "disk", 65536) as directory:
        filler = fill(directory)
        counts = Counts()
        counts.index(KEY)
        with pytest.raises(OSError, match="No space left on device"):
            counts.share(directory)
        assert [filler] == list(directory.iterdir())
    assert ({KEY: 0.0}, {}) == counts.totals()


def test_the_metrics_directory_is_private_and_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is readable for its owner only, and is removed with its files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with metrics_directory() as directory:
        assert "drwx------" == stat.filemode(directory.stat().st_mode)
        counting(directory, 1)
    assert [] == list(tmp_path.iterdir())


def test_directories_of_killed_servers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server removes the directories of servers that have ended, and no other directory, file or link."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "vendorsrv-metrics-dead").mkdir()
    (tmp_path / "vendorsrv-metrics-dead" / "x.counts").touch()
    (tmp_path / "vendorsrv-metrics-file").touch()
    (tmp_path / "vendorsrv-mine").mkdir()
    (tmp_path / "vendorsrv-metrics-link").symlink_to("vendorsrv-mine")
    with metrics_directory() as running, metrics_directory() as other:
        kept = {running.name, other.name, "vendorsrv-metrics-file", "vendorsrv-mine", "vendorsrv-metrics-link"}
        assert kept == {path.name for path in tmp_path.iterdir()}


def test_directories_of_other_users_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of root removes no directory of another user."""
    if os.geteuid() != 0:
        pytest.skip("giving a directory to another user needs root")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = tmp_path / "vendorsrv-metrics-other"
    other.mkdir()
    os.chown(other, 65534, 65534)
    with metrics_directory():
        assert other.exists()


def test_a_missing_temporary_directory_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no temporary directory can be created, the error is a sentence for the operator."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(ConfigError) as caught, metrics_directory():
        pass
    assert "cannot create a temporary directory: No such file or directory" == str(caught.value)
