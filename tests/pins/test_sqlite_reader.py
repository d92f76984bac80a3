"""When pinned answers are read from a SQLite file on the event loop, and when in a thread."""

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
    """A clock that advances each time it is read."""

    step = 0.0

    def __call__(self) -> float:
        """Return a time that is later each time."""
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
    """A reader of the file with a clock that stands still."""
    reader = PinReader(file, Ticking())
    yield reader
    reader.close()


def test_an_answer_is_returned_and_a_claim_is_not(reader: PinReader) -> None:
    """The reader returns a pinned answer, and None for a claim and for a missing row."""
    found = [reader.get(INSTANCE, handler) for handler in ("mail", "dns", "other")]
    assert [b"0{}", None, None] == found


def test_changes_by_another_process_are_seen_at_once(reader: PinReader, file: Path) -> None:
    """A pin that another process forgets or adds is gone or there at the next read."""
    before = reader.get(INSTANCE, "mail")
    write(file, "DELETE FROM pins WHERE instance_id = ?")
    forgotten = reader.get(INSTANCE, "mail")
    write(file, "INSERT INTO pins (instance_id, handler, answer, claimed_at) VALUES (?, 'mail', x'31', 1.0)")
    assert (b"0{}", None, b"1") == (before, forgotten, reader.get(INSTANCE, "mail"))


def test_a_writer_does_not_block_the_reader(reader: PinReader, file: Path) -> None:
    """An answer is read while another process has an open write transaction."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM pins")
        assert b"0{}" == reader.get(INSTANCE, "mail")


def test_after_a_slow_read_a_thread_reads_for_ten_seconds(file: Path) -> None:
    """After a read of 30 ms the reader returns None for ten seconds, so that no slow disk blocks the event loop."""
    clock = Ticking()
    reader = PinReader(file, clock)
    clock.step = 0.03
    slow = reader.get(INSTANCE, "mail")
    clock.step = 0.0
    off = reader.get(INSTANCE, "mail")
    clock.now += 10.0
    assert (b"0{}", None, b"0{}") == (slow, off, reader.get(INSTANCE, "mail"))
    reader.close()


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    """The reader returns None for a missing file and does not create it."""
    clock = Ticking()
    reader = PinReader(tmp_path / "pins.db", clock)
    assert None is reader.get(INSTANCE, "mail")
    assert [] == [*tmp_path.iterdir()]


def test_pins_are_read_on_the_loop_only_after_the_schema_was_checked(file: Path) -> None:
    """Before the first check of the schema, `peek` returns None; after it, the pinned answer."""

    async def check() -> None:
        """Find the schema right."""

    async def work(store: PinStore) -> list[bytes | None]:
        pins = Pins(store, PinCipher([]), 5.5, check)
        before = pins.peek(INSTANCE, "mail")
        await pins.get(INSTANCE, "mail")
        return [before, pins.peek(INSTANCE, "mail"), pins.peek(INSTANCE, "dns")]

    assert [None, b"{}", None] == with_store(f"sqlite:///{file}", work)


def test_a_store_in_memory_is_not_read_on_the_loop() -> None:
    """`peek` returns None for a store in memory, which has no file."""

    async def work(store: PinStore) -> bytes | None:
        return store.peek(INSTANCE, "mail")

    assert None is with_store("sqlite://", work)
