"""How much one handler may have to do in a worker, and when it is left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from vendorsrv.errors import Busy, Resting, VendordataError

LOG = logging.getLogger(__name__)

#: Failures in a row after which a handler rests, and for how many seconds.
FAILURES: Final = 5
REST: Final = 10.0


class Gate:
    """Limits one handler, and rests it while it keeps failing (a circuit breaker).

    After :data:`REST` seconds one request is let through; when it succeeds, so are all.

    :param concurrency: how many may be inside at once.
    :param queue: how many may wait to get in.
    :param clock: seconds that only go forward.
    """

    def __init__(self, handler: str, concurrency: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.handler = handler
        self.places = asyncio.Semaphore(concurrency)
        self.queue = queue
        self.clock = clock
        self.waiting = 0
        self.failures = 0
        self.rests_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether the handler is left alone now."""
        return self.failures >= FAILURES and self.clock() < self.rests_until

    @asynccontextmanager
    async def entered(self, budget: float) -> AsyncIterator[None]:
        """Hold one of the places while the handler runs, and learn from how it ends.

        :param budget: seconds that waiting for a place may take.
        :raises Resting: the handler is left alone now.
        :raises Busy: the queue is full, or the budget ran out in it.
        """
        if self.resting:
            raise Resting(f"handler {self.handler} failed too often and is not asked for some seconds")
        await self.take_place(budget)
        if self.failures >= FAILURES:
            self.rests_until = self.clock() + REST  # this one is the trial; the others go on resting
        try:
            yield
        except VendordataError as error:
            self.learn(failed=error.status >= 500 and not isinstance(error, Busy))
            raise
        else:
            self.learn(failed=False)
        finally:
            self.places.release()

    async def take_place(self, budget: float) -> None:
        if self.places.locked() and self.waiting >= self.queue:
            raise Busy(f"handler {self.handler} is busy")
        self.waiting += 1
        try:
            async with asyncio.timeout(budget):
                await self.places.acquire()
        except TimeoutError:
            raise Busy(f"handler {self.handler} is busy") from None
        finally:
            self.waiting -= 1

    def learn(self, *, failed: bool) -> None:
        if not failed:
            self.failures = 0
            return
        self.failures += 1
        if self.failures >= FAILURES:
            self.rests_until = self.clock() + REST
            LOG.warning("handler %s failed %d times in a row and rests", self.handler, self.failures)
