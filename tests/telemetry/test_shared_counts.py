"""Numbers that several processes count; here they are several objects, which the system cannot tell from processes."""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from tests.support.disks import fill, tiny_disk
from vendorsrv import ConfigError
from vendorsrv.telemetry.shared_counts import Counts, counting_directory

KEY = ("requests", "/mail")


def counting(directory: Path, number: float, *, key: tuple[str, ...] = KEY) -> Counts:
    """Give somebody who shares, and has counted a number."""
    counts = Counts()
    place = counts.place(key)
    counts.share(directory)
    counts.values[place] += number
    return counts


def test_who_is_alone_has_its_own_numbers() -> None:
    """And need not share them."""
    counts = Counts()
    counts.values[counts.place(KEY)] += 2
    counts.place(("other",))
    assert ({KEY: 2.0, ("other",): 0.0}, {}) == counts.totals()


def test_a_key_has_one_place() -> None:
    """However often it is asked for, before it is shared and after."""
    counts = Counts()
    assert [0, 1, 0] == [counts.place(KEY), counts.place(("other",)), counts.place(KEY)]


def test_what_was_counted_before_it_is_shared_is_shared(tmp_path: Path) -> None:
    """Nothing is lost on the way into the file."""
    counts = Counts()
    counts.values[counts.place(KEY)] += 1.5
    counts.share(tmp_path)
    counts.values[counts.place(KEY)] += 1
    assert ({KEY: 2.5}, {}) == counts.totals()


def test_each_sees_the_sum_of_all(tmp_path: Path) -> None:
    """At once, without anybody writing anything out; keys need not be the same."""
    first, second = counting(tmp_path, 2), counting(tmp_path, 3)
    other = counting(tmp_path, 4, key=("blocked",))
    for counts in (first, second, other):
        assert ({KEY: 5.0, ("blocked",): 4.0}, {}) == counts.totals()


def test_what_somebody_counted_outlives_him(tmp_path: Path) -> None:
    """As what has ended, however often it is read; his file is gone."""
    first, second, third = (counting(tmp_path, number) for number in (2, 3, 4))
    del second
    assert [({KEY: 6.0}, {KEY: 3.0})] * 2 == [first.totals(), third.totals()]
    del third
    assert [({KEY: 2.0}, {KEY: 7.0})] * 2 == [first.totals(), first.totals()]
    assert 1 == len(list(tmp_path.glob("*.counts")))


def test_a_directory_that_is_gone_leaves_everybody_his_own(tmp_path: Path) -> None:
    """Counting and reading go on."""
    directory = tmp_path / "counts"
    directory.mkdir()
    first, _second = counting(directory, 2), counting(directory, 3)
    shutil.rmtree(directory)
    first.values[first.place(KEY)] += 1
    assert ({KEY: 3.0}, {}) == first.totals()


def test_what_cannot_be_shared_stays_as_it_is(tmp_path: Path) -> None:
    """There is no such directory."""
    counts = Counts()
    counts.values[counts.place(KEY)] += 2
    with pytest.raises(FileNotFoundError):
        counts.share(tmp_path / "none")
    assert ({KEY: 2.0}, {}) == counts.totals()


def test_on_a_full_disk_nothing_is_left_behind(tmp_path: Path) -> None:
    """The room is asked for before it is used: to use what is not there would kill the process."""
    with tiny_disk(tmp_path / "disk", 65536) as directory:
        filler = fill(directory)
        counts = Counts()
        counts.place(KEY)
        with pytest.raises(OSError, match="No space left on device"):
            counts.share(directory)
        assert [filler] == list(directory.iterdir())
    assert ({KEY: 0.0}, {}) == counts.totals()


def test_the_directory_is_private_and_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with counting_directory() as directory:
        assert "drwx------" == stat.filemode(directory.stat().st_mode)
        counting(directory, 1)
    assert [] == list(tmp_path.iterdir())


def test_without_a_place_for_temporary_files_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the operator, who has to make one."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(ConfigError) as caught, counting_directory():
        pass
    assert "no directory for temporary files: No such file or directory" == str(caught.value)
