"""The value of a file that somebody else changes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from vendorsrv.errors import ServiceUnavailable
from vendorsrv.telemetry.tracebacks import raised_at

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds for which a file may change again without another time: file systems count it in steps of up to 10 ms.
SETTLED_AFTER: Final = 0.1


class WatchedFile(Generic[T]):
    """The value of a file, read again when the file has changed, and the last good one while it is missing or wrong.

    It is read where :attr:`value` is used: for a file that takes more than some milliseconds, that is a plain ``def``.
    A file that is written in place may be read half: replace it by another one (``mv``).

    :param path: the file.
    :param parse: makes the value from the file's text, as ``json.loads`` does; may raise anything.
    :param clock: seconds since the epoch.
    """

    def __init__(self, path: str | Path, parse: Callable[[str], T], clock: Callable[[], float] = time.time) -> None:
        self.path, self.parse, self.clock = Path(path), parse, clock
        self.seen: object = None
        self.good: list[T] = []

    @property
    def value(self) -> T:
        """The value of the file as it is now, or the last good one. Do not change it.

        :raises ServiceUnavailable: there was no good one yet; the log has the reason.
        """
        now, is_settled = self.look()
        if now != self.seen:
            self.read()
            self.seen = now if is_settled else None
        if not self.good:
            raise ServiceUnavailable("a file of the server cannot be read")
        return self.good[0]

    def look(self) -> tuple[object, bool]:
        """Return what changes with the file, without reading it, and whether each change from now on changes it."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            return error.errno, True
        times = found.st_mtime_ns, found.st_ctime_ns
        return (found.st_dev, found.st_ino, found.st_size, times), self.clock() - found.st_ctime > SETTLED_AFTER

    def read(self) -> None:
        """Read the file, or keep the value and log why."""
        try:
            self.good = [self.parse(self.path.read_text("utf-8"))]
        except Exception as error:  # noqa: BLE001 - the author's parse may raise anything, with the text in it
            reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__} {raised_at(error)}"
            LOG.warning("file %s cannot be used: %s; the last good value is kept", self.path, reason)
