"""One run at a time per key, whose result everybody gets who asked meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Runs in progress on one event loop."""

    def __init__(self) -> None:
        self.running: dict[Hashable, asyncio.Task[T]] = {}

    async def run(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Join the run of this key, or start it.

        A caller who gives up (is cancelled) leaves the run going for the others.

        :param key: what makes two calls the same.
        :param start: makes the coroutine; called only when nothing runs under the key.
        :returns: what the coroutine returned, to every caller; what it raised is raised to every caller.
        """
        return await asyncio.shield(self.begin(key, start))

    def begin(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Start the run of this key unless there is one, and do not wait for it."""
        task = self.running.get(key)
        if task is None:
            task = self.running[key] = asyncio.create_task(start())
            task.add_done_callback(partial(self.finish, key))
        return task

    def finish(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self.running[key]
        if not task.cancelled():
            task.exception()  # retrieved here: everybody may have given up, and asyncio would complain
