"""Pinned answers read from a SQLite file on the event loop itself, as long as that takes no time to speak of."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

LOG = logging.getLogger(__name__)

#: Seconds that a read may take, and for which no other is tried here after one that took longer or failed.
SLOW: Final = 0.02
REST: Final = 10.0

#: One look-up by primary key.
ANSWER: Final = "SELECT answer FROM pins WHERE instance_id = ? AND handler = ?"


class PinReader:
    """Reads answers by a connection of its own; one for each worker.

    A read that finds its page in memory takes 8 µs, of which a way through a thread makes 300; SQLite's writers stop
    no reader (write-ahead log). A disk that is slow does: after one such read, the way through a thread is taken.

    :param file: which may not be there yet.
    :param clock: seconds that only go forward.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = f"{file.absolute().as_uri()}?mode=rw"
        self.clock = clock
        self.rests_until = float("-inf")
        self.connection: sqlite3.Connection | None = None

    def get(self, instance_id: str, handler: str) -> bytes | None:
        """Give what is stored of an answer; None when there is none, or when it should be read in another way."""
        began = self.clock()
        if began < self.rests_until:
            return None
        try:
            found = self.opened().execute(ANSWER, (instance_id, handler)).fetchone()
        except sqlite3.Error as error:
            LOG.debug("the pins are read in a thread: %s", type(error).__name__)
            self.rest()
            return None
        if self.clock() - began > SLOW:
            self.rest()
        answer: bytes | None = found[0] if found else None
        return answer

    def opened(self) -> sqlite3.Connection:
        if self.connection is None:
            # Not one moment for a lock: the other way has time for it.
            self.connection = sqlite3.connect(self.url, timeout=0.0, uri=True, isolation_level=None)
        return self.connection

    def rest(self) -> None:
        self.rests_until = self.clock() + REST
        self.close()

    def close(self) -> None:
        """Close the file."""
        connection, self.connection = self.connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()
