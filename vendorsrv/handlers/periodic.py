"""What handlers do every so many seconds: each method in a task of its own, called again whatever it raises."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from vendorsrv.errors import NotForThisInstance, NotYet, PinsUnavailable, VendordataError
from vendorsrv.handler import Handler, Job
from vendorsrv.handlers.runner import Runner

if TYPE_CHECKING:  # SQLAlchemy is only for what uses its database
    from vendorsrv.pins.pin import Pins
    from vendorsrv.pins.turns import Turn

LOG = logging.getLogger(__name__)

#: Seconds until the first of several failed calls is repeated; the pause doubles each time, up to the job's own.
FIRST_PAUSE: Final = 1.0
#: Seconds for which a coroutine that is cancelled may go on before its handler is closed.
STOP_TIMEOUT: Final = 5.0


class Periodic:
    """One job of a handler.

    :param turn: decides which worker of the cloud does it; None: each does.
    :ivar state: of the last call: ``starting``, ``ok``, or ``failing``.
    """

    def __init__(self, handler: str, job: Job, turn: Turn | None) -> None:
        self.handler, self.name, self.seconds, self.turn = handler, job.name, job.seconds, turn
        self.runner = Runner(handler, job.method, job.seconds, 1, 1)
        self.state = "starting"
        self.failures = 0
        self.lock = asyncio.Lock()

    async def run_for_ever(self) -> None:
        """Call the method again and again."""
        while True:
            pause = await self.take_turn()
            await asyncio.sleep(pause)

    async def take_turn(self) -> float:
        """Call the method, unless another worker has the turn.

        :returns: seconds until the next call.
        """
        if self.turn is None:
            return await self.call()
        owner = secrets.token_hex(16)
        try:
            if wait := await self.turn.take(owner):
                self.failures, self.state = 0, "ok"
                return wait
            pause = await self.call()
            if self.failures:
                await self.turn.give_back(owner)
        except PinsUnavailable as error:
            return self.failed(error)
        return pause

    async def call(self) -> float:
        """Call the method now.

        :returns: seconds until the next call.
        """
        async with self.lock:
            try:
                await self.runner.run(budget=self.seconds)
            except (VendordataError, NotYet, NotForThisInstance) as error:
                return self.failed(error)
        if self.failures:
            LOG.info("handler %s: %s succeeded", self.handler, self.name)
        self.failures, self.state = 0, "ok"
        return self.seconds

    def failed(self, error: Exception) -> float:
        pause = min(self.seconds, FIRST_PAUSE * 2.0 ** min(self.failures, 20))
        self.failures, self.state = self.failures + 1, "failing"
        reason = getattr(error, "message", type(error).__name__)
        LOG.warning("handler %s: %s failed (%s); next call in %g s", self.handler, self.name, reason, pause)
        return pause

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End the task of :meth:`run_for_ever`; a call in a thread goes on."""
        task.cancel()
        await asyncio.wait([task])
        if self.runner.overrun:
            await asyncio.wait(self.runner.overrun, timeout=STOP_TIMEOUT)


def states_of(periodic: Iterable[Periodic]) -> dict[str, dict[str, str]]:
    """Return the state of each job, by handler and method."""
    found: dict[str, dict[str, str]] = {}
    for each in periodic:
        found.setdefault(each.handler, {})[each.name] = each.state
    return found


@asynccontextmanager
async def supervised(
    handlers: Iterable[Handler], open_pins: Callable[[], AbstractAsyncContextManager[Pins]]
) -> AsyncIterator[list[Periodic]]:
    """Do the jobs of open handlers; yield them.

    :param open_pins: opens the database's pins, if any job is for one worker of the cloud.
    """
    async with AsyncExitStack() as stack:
        jobs: list[tuple[str, Job]] = []
        for handler in handlers:
            jobs += [(handler.name, job) for job in handler.jobs or ()]
            handler.jobs = None  # what is given later would not be done
        pins = None
        if any(job.once_per_cluster for _, job in jobs):
            pins = await stack.enter_async_context(open_pins())
        started = []
        for name, job in jobs:
            periodic = Periodic(name, job, turn_of(pins, name, job) if pins and job.once_per_cluster else None)
            task = asyncio.create_task(periodic.run_for_ever(), name=f"handler {name}: {job.name}")
            stack.push_async_callback(periodic.stop, task)
            started.append(periodic)
        yield started


def turn_of(pins: Pins, handler: str, job: Job) -> Turn:
    from vendorsrv.pins.turns import Turn

    return Turn(pins, f"{handler}\0{job.name}", job.seconds)
