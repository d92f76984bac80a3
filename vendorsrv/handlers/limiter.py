"""One handler's limits in a worker: concurrency, a queue, and a circuit breaker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from vendorsrv.errors import Busy, CircuitOpen, NotYet, UpstreamRefused, VendordataError

LOG = logging.getLogger(__name__)

#: Failures in a row that open the circuit, and the seconds until it is half-open.
FAILURES: Final = 5
OPEN_FOR: Final = 10


class Limiter:
    """Limits the runs of one handler, and refuses them while it keeps failing.

    The circuit opens after :data:`FAILURES` failures in a row: for the instances that they were for, and for all
    instances once there are :data:`FAILURES` of those. Nova sends six requests and more for an instance, and an
    instance that a handler cannot serve must not close it for the others.

    After :data:`OPEN_FOR` seconds the circuit is half-open: one request passes. Its success closes the circuit.

    :param concurrency: runs at a time.
    :param queue: requests that may wait for a slot.
    :param clock: monotonic seconds.
    """

    def __init__(self, handler: str, concurrency: int, queue: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.handler = handler
        self.slots = asyncio.Semaphore(concurrency)
        self.queue = queue
        self.clock = clock
        self.waiting = 0
        self.failures = 0
        self.failed_for: set[str] = set()
        self.open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open, for some instances or for all."""
        return self.clock() < self.open_until

    @asynccontextmanager
    async def slot(self, instance_id: str, budget: float) -> AsyncIterator[None]:
        """Hold a slot while the handler runs for an instance, and record how the run ended.

        :param budget: the most seconds to wait.
        :raises CircuitOpen: on entering: the circuit is open for this instance.
        :raises Busy: on entering: the queue is full, or no slot became free in time.
        """
        self.check_circuit(instance_id)
        if self.slots.locked():
            await self.wait_for_slot(budget)
        else:
            await self.slots.acquire()  # does not wait, and so needs no timer
        try:
            self.check_circuit(instance_id)  # it may have opened while this request was in the queue
            if self.failures >= FAILURES:
                self.open_until = self.clock() + OPEN_FOR  # half-open: this request passes, others are refused
            yield
            self.record(instance_id, failed=False)
        except NotYet:
            self.record(instance_id, failed=False)
            raise
        except VendordataError as error:
            if not isinstance(error, Busy | CircuitOpen):
                self.record(instance_id, failed=error.status >= 500 and not isinstance(error, UpstreamRefused))
            raise
        finally:
            self.slots.release()

    def check_circuit(self, instance_id: str) -> None:
        if self.is_open and (instance_id in self.failed_for or len(self.failed_for) >= FAILURES):
            raise CircuitOpen(f"handler {self.handler} keeps failing; retry in {OPEN_FOR} seconds")

    async def wait_for_slot(self, budget: float) -> None:
        if self.waiting >= self.queue:
            raise Busy(f"the concurrency limit and the queue of handler {self.handler} are full")
        self.waiting += 1
        try:
            async with asyncio.timeout(budget):
                await self.slots.acquire()
        except TimeoutError:
            raise Busy(f"handler {self.handler} had no free slot in time") from None
        finally:
            self.waiting -= 1

    def record(self, instance_id: str, *, failed: bool) -> None:
        if not failed:
            if self.failures >= FAILURES:
                LOG.info("handler %s succeeded: its circuit is closed", self.handler)
            self.failures = 0
            self.failed_for.clear()
            self.open_until = float("-inf")
            return
        self.failures += 1
        if len(self.failed_for) < FAILURES:
            self.failed_for.add(instance_id)
        if self.failures == FAILURES:
            LOG.warning("handler %s failed %d times in a row: its circuit is open", self.handler, FAILURES)
        if self.failures >= FAILURES:
            self.open_until = self.clock() + OPEN_FOR
