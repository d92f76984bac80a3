"""Pinned answers that are read from a SQLite file on the loop, and when they are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.fixtures import Clock
from tests.support.pin_stores import make_table, with_store
from tests.support.serving import INSTANCE
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.sqlite_reader import PinReader
from vendorsrv.pins.store import PinStore


class Ticking(Clock):
    """A clock that goes on by itself whenever it is looked at."""

    step = 0.0

    def __call__(self) -> float:
        """Give the time, which is later each time."""
        self.now += self.step
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one answer, and one claim."""
    make_table(f"sqlite:///{tmp_path}/pins #1.db")
    file = tmp_path / "pins #1.db"
    write(file, "INSERT INTO pins (instance_id, handler, answer, claimed_at) VALUES (?, 'mail', x'307b7d', 1.0)")
    write(file, "INSERT INTO pins (instance_id, handler, owner, claimed_at) VALUES (?, 'dns', 'me', 1.0)")
    return file


def write(file: Path, statement: str) -> None:
    """Change the file as another process does; the statement has one parameter, the instance."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement, (INSTANCE,))


@pytest.fixture
def reader(file: Path) -> Iterator[PinReader]:
    """A reader of the file, whose clock stands still."""
    reader = PinReader(file, Ticking())
    yield reader
    reader.close()


def test_an_answer_is_read_and_a_claim_or_nothing_is_none(reader: PinReader) -> None:
    """Both have to be looked at more closely."""
    found = [reader.get(INSTANCE, handler) for handler in ("mail", "dns", "other")]
    assert [b"0{}", None, None] == found


def test_what_another_process_forgets_or_pins_holds_at_once(reader: PinReader, file: Path) -> None:
    """Each read sees the file as it is."""
    before = reader.get(INSTANCE, "mail")
    write(file, "DELETE FROM pins WHERE instance_id = ?")
    forgotten = reader.get(INSTANCE, "mail")
    write(file, "INSERT INTO pins (instance_id, handler, answer, claimed_at) VALUES (?, 'mail', x'31', 1.0)")
    assert (b"0{}", None, b"1") == (before, forgotten, reader.get(INSTANCE, "mail"))


def test_somebody_who_writes_stops_no_reader(reader: PinReader, file: Path) -> None:
    """A transaction of another process is open meanwhile."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM pins")
        assert b"0{}" == reader.get(INSTANCE, "mail")


def test_a_slow_disk_is_left_to_a_thread_for_a_while(file: Path) -> None:
    """Else every request would wait for it, and not only those for pins."""
    clock = Ticking()
    reader = PinReader(file, clock)
    clock.step = 0.03
    slow = reader.get(INSTANCE, "mail")
    clock.step = 0.0
    resting = reader.get(INSTANCE, "mail")
    clock.now += 10.0
    assert (b"0{}", None, b"0{}") == (slow, resting, reader.get(INSTANCE, "mail"))
    reader.close()


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """The way through a thread says what is wrong with it."""
    clock = Ticking()
    reader = PinReader(tmp_path / "pins.db", clock)
    assert None is reader.get(INSTANCE, "mail")
    assert [] == [*tmp_path.iterdir()]


def test_pins_are_read_so_when_the_store_was_found_to_be_ours(file: Path) -> None:
    """Not before; and from a store in memory, or on another host, never."""

    async def check() -> None:
        """Find that it is ours."""

    async def work(store: PinStore) -> list[bytes | None]:
        pins = Pins(store, PinCipher([]), 5.5, check)
        before = pins.peek(INSTANCE, "mail")
        await pins.get(INSTANCE, "mail")
        return [before, pins.peek(INSTANCE, "mail"), pins.peek(INSTANCE, "dns")]

    assert [None, b"{}", None] == with_store(f"sqlite:///{file}", work)


def test_a_store_in_memory_is_read_in_its_own_way() -> None:
    """It has no file."""

    async def work(store: PinStore) -> bytes | None:
        return store.peek(INSTANCE, "mail")

    assert None is with_store("sqlite://", work)
