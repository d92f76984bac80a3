"""A counted budget of threads: whoever gives up waiting does not get his place back before the thread has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
from anyio.to_thread import run_sync


class NoThreadFree(Exception):
    """Every thread of the budget is at work."""


class Threads:
    """Runs blocking functions in at most so many threads at once.

    A thread cannot be stopped: one that was given up counts until its function returns.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.busy = 0
        self.limiter = anyio.CapacityLimiter(limit)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread and give what it returns, or raise what it raises.

        :raises NoThreadFree: at once, when all threads are at work.
        """
        if self.busy >= self.limit:
            raise NoThreadFree
        self.busy += 1
        task = asyncio.create_task(run_sync(function, *arguments, limiter=self.limiter))
        task.add_done_callback(self.free)
        return await asyncio.shield(task)

    def free(self, task: asyncio.Task[Any]) -> None:
        self.busy -= 1
        if not task.cancelled():
            task.exception()  # retrieved: asyncio would log that of a call that was given up, text and all
