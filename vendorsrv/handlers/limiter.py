"""How much one handler may have to do in a worker, and when it is left alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from vendorsrv.errors import Busy, CircuitOpen, NotYet, UpstreamRefused, VendordataError

LOG = logging.getLogger(__name__)

#: Failures in a row after which a handler rests, and for how many seconds.
FAILURES: Final = 5
REST: Final = 10.0


class Limiter:
    """Limits one handler, and rests it while it keeps failing (a circuit breaker).

    It rests for the instances that it failed for, and for all of them only when those are :data:`FAILURES`: Nova asks
    six times and more, and an instance that a handler stumbles over must not close it for the others.

    After :data:`REST` seconds one request is let through; when it succeeds, so are all.

    :param concurrency: how many may be inside at once.
    :param queue: how many may wait to get in.
    :param clock: seconds that only go forward.
    """

    def __init__(self, handler: str, concurrency: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.handler = handler
        self.slots = asyncio.Semaphore(concurrency)
        self.queue = queue
        self.clock = clock
        self.waiting = 0
        self.failures = 0
        self.failed_for: set[str] = set()
        self.rests_until = float("-inf")

    @property
    def resting(self) -> bool:
        """Whether the handler is left alone now, by some instances or by all."""
        return self.clock() < self.rests_until

    def slot(self, instance_id: str, budget: float) -> Slot:
        """Give the context in which a handler runs for an instance: it holds a place, and learns from how that ends.

        :param budget: seconds that waiting for a place may take.
        :raises CircuitOpen: the handler is left alone now.
        :raises Busy: the queue is full, or the budget ran out in it.
        """
        return Slot(self, instance_id, budget)

    async def enter(self, instance_id: str, budget: float) -> None:
        self.refuse_while_resting(instance_id)
        if not self.slots.locked():
            await self.slots.acquire()  # at once, and so without a timer
        else:
            await self.wait_for_slot(budget)
            try:
                self.refuse_while_resting(instance_id)  # it may have begun to while this request stood in the queue
            except CircuitOpen:
                self.slots.release()
                raise
        if self.failures >= FAILURES:
            self.rests_until = self.clock() + REST  # this one is the trial; the others go on resting

    def leave(self, instance_id: str, error: BaseException | None) -> None:
        if error is None or isinstance(error, NotYet):
            self.learn(instance_id, failed=False)
        elif isinstance(error, VendordataError) and not isinstance(error, Busy | CircuitOpen):
            self.learn(instance_id, failed=error.status >= 500 and not isinstance(error, UpstreamRefused))
        self.slots.release()

    def refuse_while_resting(self, instance_id: str) -> None:
        if self.resting and (instance_id in self.failed_for or len(self.failed_for) >= FAILURES):
            raise CircuitOpen(f"handler {self.handler} failed too often and is not asked for some seconds")

    async def wait_for_slot(self, budget: float) -> None:
        if self.waiting >= self.queue:
            raise Busy(f"handler {self.handler} is busy")
        self.waiting += 1
        try:
            async with asyncio.timeout(budget):
                await self.slots.acquire()
        except TimeoutError:
            raise Busy(f"handler {self.handler} is busy") from None
        finally:
            self.waiting -= 1

    def learn(self, instance_id: str, *, failed: bool) -> None:
        if not failed:
            if self.failures >= FAILURES:
                LOG.info("handler %s works again", self.handler)
            self.failures = 0
            self.failed_for.clear()
            self.rests_until = float("-inf")
            return
        self.failures += 1
        if len(self.failed_for) < FAILURES:
            self.failed_for.add(instance_id)
        if self.failures == FAILURES:
            LOG.warning("handler %s failed %d times in a row and rests", self.handler, FAILURES)
        if self.failures >= FAILURES:
            self.rests_until = self.clock() + REST


class Slot:
    """One stay of a request inside of a limiter: a context."""

    __slots__ = ("budget", "instance_id", "limiter")

    def __init__(self, limiter: Limiter, instance_id: str, budget: float) -> None:
        self.limiter = limiter
        self.instance_id = instance_id
        self.budget = budget

    async def __aenter__(self) -> None:
        await self.limiter.enter(self.instance_id, self.budget)

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.limiter.leave(self.instance_id, error)
