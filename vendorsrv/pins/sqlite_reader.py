"""Pinned answers read from a SQLite file on the event loop itself, as long as reads are fast."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

LOG = logging.getLogger(__name__)

#: Seconds after which a read is slow, and for which this reader is off after a slow or failed one.
SLOW: Final = 0.02
OFF_FOR: Final = 10.0

#: One look-up by primary key. An answer that has expired is none.
ANSWER: Final = """SELECT answer FROM pins WHERE instance_id = ? AND handler = ?
AND (expires_at IS NULL OR expires_at > (julianday('now') - 2440587.5) * 86400.0)"""


class PinReader:
    """Reads answers through a connection of its own.

    A read takes 8 µs when its page is in memory, and 300 µs through a thread. SQLite's writers block no reader
    (write-ahead log), but a slow disk blocks the event loop: after one slow read, a thread reads for a while.

    :param file: may not exist yet.
    :param clock: seconds that only go forward.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = f"{file.absolute().as_uri()}?mode=rw"
        self.clock = clock
        self.off_until = float("-inf")
        self.connection: sqlite3.Connection | None = None

    def get(self, instance_id: str, handler: str) -> bytes | None:
        """Return a stored answer. None means nothing: it may have to be read in a thread."""
        began = self.clock()
        if began < self.off_until:
            return None
        try:
            if self.connection is None:
                # No waiting for a lock here: a thread can wait.
                self.connection = sqlite3.connect(self.url, timeout=0.0, uri=True, isolation_level=None)
            found: tuple[bytes | None] | None
            found = self.connection.execute(ANSWER, (instance_id, handler)).fetchone()
        except sqlite3.Error as error:
            LOG.debug("the pins are read in a thread: %s", type(error).__name__)
            self.turn_off()
            return None
        if self.clock() - began > SLOW:
            self.turn_off()
        return found[0] if found else None

    def turn_off(self) -> None:
        self.off_until = self.clock() + OFF_FOR
        self.close()

    def close(self) -> None:
        """Close the file."""
        connection, self.connection = self.connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()
