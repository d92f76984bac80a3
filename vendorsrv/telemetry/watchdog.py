"""Detect a blocked event loop, and log which task blocks it and where."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from vendorsrv.telemetry.metrics import Metrics
from vendorsrv.telemetry.tracebacks import stack_of

LOG = logging.getLogger(__name__)

#: Seconds between two heartbeats of the loop, and after which a missing one is reported.
BEAT: Final = 0.25
LATE: Final = 1.0


class Watchdog:
    """Watch the event loop that starts it, from a thread of its own.

    :param clock: returns monotonic seconds.
    """

    def __init__(self, metrics: Metrics | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.blocked = (metrics or Metrics()).counter("vendorsrv_event_loop_blocked_total")
        self.beat_at = self.clock()
        self.stopped = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread_id = 0
        self.thread = threading.Thread(target=self.watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start watching the running loop."""
        self.loop = asyncio.get_running_loop()
        self.thread_id = threading.get_ident()
        self.beat()
        self.thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self.stopped.set()

    def beat(self) -> None:
        self.beat_at = self.clock()
        if self.loop and not self.stopped.is_set():
            self.loop.call_later(BEAT, self.beat)

    def watch(self) -> None:
        reported = 0.0
        while not self.stopped.wait(BEAT):
            late = self.clock() - self.beat_at
            if late > LATE and reported != self.beat_at:
                reported = self.beat_at
                self.report(late)

    def report(self, late: float) -> None:
        self.blocked.inc()
        frame = sys._current_frames().get(self.thread_id)  # noqa: SLF001 - documented, and the only way
        task = asyncio.current_task(self.loop)
        name, place = task.get_name() if task else "a callback", stack_of(frame) if frame else ""
        LOG.error("%s has blocked the event loop of this worker for %.1f s: %s", name, late, place)
