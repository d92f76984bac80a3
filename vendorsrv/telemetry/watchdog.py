"""Notice an event loop that a handler blocks, and say in the log which one and where."""

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

#: Seconds between two beats of the loop, and for which it may miss them.
BEAT: Final = 0.25
LATE: Final = 1.0


class Watchdog:
    """Watches the event loop that it is started on, from a thread of its own.

    :param clock: seconds that only go forward.
    """

    def __init__(self, metrics: Metrics | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.blocked = (metrics or Metrics()).tally("vendorsrv_event_loop_blocked_total")
        self.beat_at = self.clock()
        self.stopped = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread_id = 0
        self.thread = threading.Thread(target=self.watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch the running loop."""
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
        complained_of = 0.0
        while not self.stopped.wait(BEAT):
            late = self.clock() - self.beat_at
            if late > LATE and complained_of != self.beat_at:
                complained_of = self.beat_at
                self.complain(late)

    def complain(self, late: float) -> None:
        self.blocked.add()
        frame = sys._current_frames().get(self.thread_id)  # noqa: SLF001 - documented, and there is no other way
        task = asyncio.current_task(self.loop)
        LOG.error(
            "%s has blocked the event loop for %.1f s, and with it every request of this worker: %s",
            task.get_name() if task else "something",
            late,
            stack_of(frame) if frame else "",
        )
