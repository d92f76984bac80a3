"""One handler's limiter, and requests that hold its slots or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from tests.support.fixtures import Clock
from vendorsrv import NotYet, ServiceUnavailable, VendordataError, VendordataRequest
from vendorsrv.handlers.limiter import Limiter


def limiter(clock: Clock, concurrency: int = 64, queue: int = 256) -> Limiter:
    """The limiter of a handler ``mail``."""
    return Limiter("mail", concurrency, queue, clock)


def request(name: str) -> VendordataRequest:
    """The request of an instance; the letter after a slash is its project."""
    instance, _, project = name.partition("/")
    return VendordataRequest(instance, project)


async def outcome(asked: Awaitable[object]) -> object:
    """Return how a run ended: its value, or status and message."""
    try:
        return await asked
    except VendordataError as error:
        return error.status, error.message
    except NotYet:
        return "not yet"


async def enter(limiter: Limiter, instance: str = "a", error: Exception | None = None, budget: float = 60.0) -> object:
    """Run once, and fail or not."""

    async def work() -> str:
        async with limiter.slot(request(instance), budget):
            if error:
                raise error
            return "done"

    return await outcome(work())


async def fail(limiter: Limiter, instances: str) -> list[object]:
    """Fail for instances in turn, one for each letter."""
    return [await enter(limiter, instance, ServiceUnavailable("mail is away")) for instance in instances]


class Held:
    """Requests that hold a slot until they are released."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.over = asyncio.Event()
        self.inside = 0

    async def enter(self, instance: str = "a", budget: float = 60.0) -> object:
        """Take a slot, and hold it."""

        async def work() -> str:
            async with self.limiter.slot(request(instance), budget):
                self.inside += 1
                await self.over.wait()
                return "done"

        return await outcome(work())
