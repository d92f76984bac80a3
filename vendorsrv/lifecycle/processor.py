"""Works off the outbox: each handler by itself, so that none holds up another, until it is done or given up."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from vendorsrv.errors import NotYet, PinsUnavailable, VendordataError
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.lifecycle.outbox import Outbox
from vendorsrv.lifecycle.table import Entry
from vendorsrv.lifecycle.work import CachedAnswers, Call, Forget, Work
from vendorsrv.pins.pin import Pins
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

#: Seconds until the first of several failed tries is repeated, and at most; the pause doubles each time.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 600.0
#: Seconds between two looks at the outbox. What this process adds itself is seen at once.
POLL: Final = 1.0
#: Seconds between two purges.
TIDY_EVERY: Final = 600.0
#: In place of a handler's name, where it is vendorsrv that forgets an instance.
OURSELVES: Final = "vendorsrv"
OUTCOMES: Final = ("ok", "failed", "given_up")


class Worker:
    """Does one kind of work for all instances that are gone.

    :param give_up_after: seconds after which what fails is not tried again.
    """

    def __init__(self, outbox: Outbox, work: Work, give_up_after: float, metrics: Metrics) -> None:
        self.outbox, self.work, self.give_up_after = outbox, work, give_up_after
        self.name = work.name or OURSELVES
        self.counters = {each: metrics.counter("vendorsrv_deletions_total", self.name, each) for each in OUTCOMES}
        self.awake = asyncio.Event()
        self.stopping = False

    async def run(self) -> None:
        """Work until :meth:`stop`."""
        while not self.stopping:
            if not await self.work_off():
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self.awake.wait()
            self.awake.clear()

    def stop(self) -> None:
        """Let :meth:`run` return when the tries that have begun are over."""
        self.stopping = True
        self.awake.set()

    async def work_off(self) -> Counter[str]:
        """Try what is due, as many as are done at once.

        :returns: how often each of :data:`OUTCOMES` and ``later`` came of it; empty if nothing is due, or the database
            does not answer.
        """
        try:
            entries = await self.outbox.due(self.work.name, self.work.at_once)
        except PinsUnavailable:
            return Counter()
        return Counter(filter(None, await asyncio.gather(*(self.attempt(each) for each in entries))))

    async def attempt(self, entry: Entry) -> str | None:
        """Try one, unless another process does; return what came of it, None if the database does not answer."""
        owner = secrets.token_hex(16)
        try:
            if not await self.outbox.claim(entry, owner, self.work.lease):
                return "later"
            try:
                done = await self.work.do(entry)
            except (VendordataError, NotYet) as error:
                return await self.failed(entry, owner, getattr(error, "message", type(error).__name__))
            if not done:
                await self.outbox.postpone(entry, owner, self.work.again)
                return "later"
            await self.outbox.end(entry, owner)
        except PinsUnavailable:
            return None
        self.counters["ok"].inc()
        return "ok"

    async def failed(self, entry: Entry, owner: str, reason: str) -> str:
        what = f"handler {self.name}: deleted of instance {entry.instance_id}"
        if entry.age > self.give_up_after:
            await self.outbox.end(entry, owner, reason)
            self.counters["given_up"].inc()
            LOG.error("%s is given up after %d tries (%s)", what, entry.tries + 1, reason)
            return "given_up"
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(entry.tries, 20))
        await self.outbox.postpone(entry, owner, pause, reason)
        self.counters["failed"].inc()
        LOG.warning("%s failed (%s); next call in %g s", what, reason, pause)
        return "failed"


class Processor:
    """Does all that is to be done for instances that are gone.

    :param enabled: the handlers of this process; those without ``deleted`` have nothing to do.
    :param cached: the answers for instances in the cache.
    :param concurrency: instances for which a handler is called at a time.
    :param give_up_after: seconds after which a handler that fails is not called again for an instance.
    :param remember_for: seconds for which an instance is known to be gone when all is done.
    """

    def __init__(
        self,
        outbox: Outbox,
        pins: Pins,
        enabled: Iterable[EnabledHandler],
        cached: CachedAnswers,
        *,
        concurrency: int,
        give_up_after: float,
        remember_for: float,
        metrics: Metrics,
    ) -> None:
        self.outbox, self.give_up_after, self.remember_for = outbox, give_up_after, remember_for
        calls = [Call(each, each.deletion, pins, concurrency) for each in enabled if each.deletion]
        self.workers = [Worker(outbox, each, give_up_after, metrics) for each in calls]
        self.workers.append(Worker(outbox, Forget(outbox, pins, cached, concurrency), math.inf, metrics))
        self.tidied = metrics.counter("vendorsrv_deletions_forgotten_total")

    async def run(self) -> None:
        """Work until :meth:`stop`."""
        async with asyncio.TaskGroup() as tasks:
            tidying = tasks.create_task(self.tidy_for_ever())
            working = [tasks.create_task(each.run(), name=f"deleted {each.work.name}") for each in self.workers]
            await asyncio.gather(*working)
            tidying.cancel()

    def stop(self) -> None:
        """Let :meth:`run` return when the tries that have begun are over."""
        for each in self.workers:
            each.stop()

    def wake(self) -> None:
        """Look at the outbox at once: something was added."""
        for each in self.workers:
            each.awake.set()

    async def work_off(self) -> dict[str, Counter[str]]:
        """Try once what is due; return what came of it by handler, and of the instances themselves as ``""``."""
        return {each.work.name: await each.work_off() for each in self.workers}

    async def tidy_for_ever(self) -> None:
        while True:
            with suppress(PinsUnavailable):
                await self.tidy()
            await asyncio.sleep(TIDY_EVERY)

    async def tidy(self) -> None:
        """Give up what no handler does any more, and forget instances that are gone long enough.

        :raises PinsUnavailable: the database does not answer.
        """
        while abandoned := await self.outbox.abandoned(self.give_up_after):
            for entry in abandoned:
                if await self.outbox.claim(entry, owner := secrets.token_hex(16), Forget.lease):
                    await self.outbox.end(entry, owner, "the handler is not enabled any more")
                    what = f"handler {entry.handler}: deleted of instance {entry.instance_id}"
                    LOG.error("%s is given up: the handler is not enabled any more", what)
        while count := await self.outbox.purge(self.remember_for):
            self.tidied.inc(count)


def names_of(enabled: Iterable[EnabledHandler]) -> Sequence[str]:
    """Return the names of the handlers that have ``deleted``."""
    return [each.name for each in enabled if each.deletion]
