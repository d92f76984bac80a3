"""One handler's limits in a worker: concurrency, a queue, and a circuit breaker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from vendorsrv.answer import UnusableAnswer
from vendorsrv.cloudinit.text import LateCheck
from vendorsrv.errors import (
    Busy,
    CircuitOpen,
    FactsRefused,
    HandlerTimeout,
    NotYet,
    ServiceUnavailable,
    UpstreamError,
    UpstreamRefused,
    VendordataError,
)
from vendorsrv.handlers.runner import UnexpectedError
from vendorsrv.request import VendordataRequest

LOG = logging.getLogger(__name__)

#: Failures in a row that open the circuit, and the seconds until it is half-open.
FAILURES: Final = 5
OPEN_FOR: Final = 10
OUTAGES: Final = (HandlerTimeout, ServiceUnavailable, UpstreamError)
#: Projects that must have unexpected exceptions or unusable answers before these count: those of one may be due to its
#: data.
PROJECTS: Final = 2


class Row:
    """Failures in a row.

    :ivar count: how many.
    :ivar instances: some of the instances that they were for, :data:`FAILURES` at most.
    :ivar projects: some of the instances' projects, :data:`PROJECTS` at most.
    """

    def __init__(self) -> None:
        self.count = 0
        self.instances: set[str] = set()
        self.projects: set[str | None] = set()

    def add(self, request: VendordataRequest) -> None:
        """Add a failure."""
        self.count += 1
        if len(self.instances) < FAILURES:
            self.instances.add(request.instance_id)
        if len(self.projects) < PROJECTS:
            self.projects.add(request.project_id)


class Limiter:
    """Limits the runs of one handler, and refuses them while it keeps failing.

    The circuit opens after :data:`FAILURES` failures in a row: for the instances that they were for, and for all
    instances once there are :data:`FAILURES` of those. Nova sends six requests and more for an instance, and an
    instance that a handler cannot serve must not close it for the others. Only outages count: an answer that is wrong,
    or an error by which the handler refuses a request, is about this instance.

    After :data:`OPEN_FOR` seconds the circuit is half-open: one request passes. Its success closes the circuit. An
    exception of it that does not count says nothing of the outage, and the next request passes.

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
        self.outages, self.exceptions, self.failures = Row(), Row(), 0
        self.open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open, for some instances or for all."""
        return self.clock() < self.open_until

    @property
    def rows(self) -> list[Row]:
        """The failures that count; :attr:`failures` is their number."""
        return [self.outages, self.exceptions] if len(self.exceptions.projects) >= PROJECTS else [self.outages]

    @asynccontextmanager
    async def slot(
        self, request: VendordataRequest, budget: float
    ) -> AsyncIterator[Callable[[asyncio.Task[Any]], None]]:
        """Hold a slot while the handler runs for a request, and record how the run ended.

        It is given a task that may go on when the run is over: then the slot is held until that has ended as well.

        :param budget: the most seconds to wait.
        :raises CircuitOpen: on entering: the circuit is open for this instance.
        :raises Busy: on entering: the queue is full, or no slot became free in time.
        """
        self.check_circuit(request)
        if self.slots.locked():
            await self.wait_for_slot(budget)
        else:
            await self.slots.acquire()  # does not wait, and so needs no timer
        tasks: list[asyncio.Task[Any]] = []
        half_open = False
        try:
            self.check_circuit(request)  # it may have opened while this request was in the queue
            if half_open := self.failures >= FAILURES and not self.is_open:
                self.open_until = self.clock() + OPEN_FOR  # this request passes, others are refused
            yield tasks.append
            self.succeeded()
        except NotYet:
            self.succeeded()
            raise
        except VendordataError as error:
            self.record(request, error, half_open=half_open)
            raise
        finally:
            if tasks and not tasks[0].done():
                tasks[0].add_done_callback(lambda _: self.slots.release())
            else:
                self.slots.release()

    def check_circuit(self, request: VendordataRequest) -> None:
        if not self.is_open:
            return
        instances = set[str]().union(*(row.instances for row in self.rows))
        if request.instance_id in instances or len(instances) >= FAILURES:
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

    def record(self, request: VendordataRequest, error: VendordataError, *, half_open: bool) -> None:
        """Count an error, as far as it says how the handler or its upstream is doing."""
        if isinstance(error, Busy | CircuitOpen | LateCheck):
            return
        if isinstance(error, UnexpectedError | UnusableAnswer):
            self.failed(request, self.exceptions)
            if half_open and self.exceptions not in self.rows:
                self.open_until = self.clock()
        elif isinstance(error, OUTAGES) and not isinstance(error, UpstreamRefused | FactsRefused):
            self.failed(request, self.outages)
        else:
            self.succeeded()

    def succeeded(self) -> None:
        if not self.outages.count and not self.exceptions.count:
            return
        if self.failures >= FAILURES:
            LOG.info("handler %s succeeded: its circuit is closed", self.handler)
        self.outages, self.exceptions, self.failures = Row(), Row(), 0
        self.open_until = float("-inf")

    def failed(self, request: VendordataRequest, row: Row) -> None:
        row.add(request)
        before, self.failures = self.failures, sum(each.count for each in self.rows)
        if before < FAILURES <= self.failures:
            LOG.warning("handler %s failed %d times in a row: its circuit is open", self.handler, self.failures)
        if self.failures >= FAILURES and row in self.rows:
            self.open_until = self.clock() + OPEN_FOR
