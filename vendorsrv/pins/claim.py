"""A run's claim of an instance, kept as long as the run may have side effects."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.store import PinStore


class Claim:
    """A claim that a run on this event loop has.

    :param key: the instance and the handler.
    :param owner: the claim's id.
    :param until: when it expires, on the monotonic clock; not later than by the database's.
    :ivar going_on: the run's tasks that may go on when it is over, its threads among them.
    """

    def __init__(self, store: PinStore, key: tuple[str, str], owner: str, until: float) -> None:
        self.store = store
        self.key = key
        self.owner = owner
        self.until = until
        self.going_on: set[asyncio.Task[Any]] = set()
        self.loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Raise PinsUnavailable if the claim is lost; in a thread of the run the database is asked as well."""
        try:
            asyncio.get_running_loop()
            is_held = self.seconds_left > 0
        except RuntimeError:  # a thread
            is_held = self.is_held_in_thread()
        if not is_held:
            raise PinsUnavailable(f"this run of handler {self.key[1]} has lost its claim of the instance")

    @property
    def seconds_left(self) -> float:
        """Seconds until it expires, 0 when it has."""
        return max(0.0, self.until - time.monotonic())

    @property
    def is_used(self) -> bool:
        """Whether the run, or a thread of it, goes on."""
        return any(not task.done() for task in self.going_on)

    def is_held_in_thread(self) -> bool:
        asked = asyncio.run_coroutine_threadsafe(self.store.get(*self.key), self.loop)
        try:
            row = asked.result(self.seconds_left)
        except TimeoutError:
            return False
        return row is not None and row.owner == self.owner and self.seconds_left > 0

    async def release(self) -> None:
        """Release it, so that the next run need not wait; if the database does not answer, it expires."""
        with suppress(PinsUnavailable):
            await self.store.release(*self.key, self.owner)

    async def release_when_unused(self) -> None:
        """Release it when the run has ended, or has lost it."""
        await asyncio.wait(self.going_on, timeout=self.seconds_left)
        await self.release()
