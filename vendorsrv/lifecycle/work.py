"""What is done for an instance that is gone: a handler's ``deleted`` is called, and the instance is forgotten."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Protocol

from vendorsrv.answer import NOTHING
from vendorsrv.cache.answers import Cache
from vendorsrv.declarations import PREPARE_SUFFIX
from vendorsrv.errors import NotForThisInstance
from vendorsrv.handlers.cache_keys import CacheKeys
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.handlers.runner import Runner
from vendorsrv.lifecycle.outbox import IDLE, Outbox
from vendorsrv.lifecycle.table import INSTANCE, Entry
from vendorsrv.pins.pin import CLOCK_SKEW, Pins
from vendorsrv.pins.store import keys_of

#: Seconds by which a claim of the outbox outlasts a call.
MARGIN: Final = 5.0
#: Seconds after which every request sees that an instance is gone: claims that are younger are given up by themselves.
SETTLED: Final = 5.0
#: Seconds until a running handler is looked at again.
AGAIN: Final = 1.0


class Work(Protocol):
    """What is done for a deleted instance.

    :ivar name: as the outbox has it.
    :ivar lease: seconds after which it cannot go on.
    :ivar at_once: for how many instances.
    :ivar again: seconds until it is tried again if it could not begin.
    """

    name: str
    lease: float
    at_once: int
    again: float

    async def do(self, entry: Entry) -> bool:
        """Do it; return False if it cannot begin yet.

        :raises VendordataError: it failed.
        :raises NotYet: it failed.
        """


class Call:
    """Calls a handler's ``deleted``.

    :param runner: of that method.
    :param concurrency: calls at a time.
    """

    again = AGAIN

    def __init__(self, enabled: EnabledHandler, runner: Runner, pins: Pins, concurrency: int) -> None:
        self.name = enabled.name
        self.runner, self.pins = runner, pins
        self.lease = runner.timeout + MARGIN
        self.at_once = concurrency
        if not inspect.iscoroutinefunction(runner.method):
            self.at_once = min(concurrency, enabled.threads)

    async def do(self, entry: Entry) -> bool:
        """Call it, unless a run for the instance goes on that began before it was gone, here or on another host."""
        if await self.is_running(entry):
            return False
        prepared = await self.prepared(entry.instance_id)
        budget = self.runner.timeout
        with suppress(NotForThisInstance):
            await self.runner.run(entry.instance_id, prepared, budget=budget, project_id=entry.project_id)
        return True

    async def is_running(self, entry: Entry) -> bool:
        for name in keys_of(self.name):
            row = await self.pins.row_of(entry.instance_id, name)
            if row is None or row.answer is not None or row.claim_age < entry.age - SETTLED:
                continue
            if -CLOCK_SKEW < row.claim_age < self.pins.lease:
                return True
        return False

    async def prepared(self, instance_id: str) -> Any:
        """Return what the handler has prepared for an instance; None if that is nothing."""
        pinned = await self.pins.get(instance_id, f"{self.name}{PREPARE_SUFFIX}")
        return None if pinned is None or pinned.body == NOTHING else json.loads(pinned.body)


class CachedAnswers:
    """The answers that handlers with ``OnError.STALE`` keep for each instance, in a cache that hosts share."""

    def __init__(self, cache: Cache, enabled: Iterable[EnabledHandler]) -> None:
        self.cache = cache
        self.keys = [CacheKeys(each) for one in enabled for each in (one, one.cloud_init) if each]

    async def forget(self, instance_id: str) -> None:
        """Forget those of an instance; a cache that is unavailable forgets them by itself, after a day."""
        for entry in filter(None, (each.stale_entry(instance_id) for each in self.keys)):
            await self.cache.forget(entry)


class Forget:
    """Forgets an instance: its answers, its preparations and the claims of what still runs for it."""

    name = INSTANCE
    lease = 30.0
    again = IDLE

    def __init__(self, outbox: Outbox, pins: Pins, cached: CachedAnswers, concurrency: int) -> None:
        self.outbox, self.pins, self.cached = outbox, pins, cached
        self.at_once = concurrency

    async def do(self, entry: Entry) -> bool:
        """Forget the instance, unless one of its handlers has something left to do."""
        if await self.outbox.is_busy(entry.instance_id):
            return False
        await self.pins.store.forget_instance(entry.instance_id)
        await self.cached.forget(entry.instance_id)
        return True
