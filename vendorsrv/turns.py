"""A few places for many, of which those are first who go on with what they have begun."""

from __future__ import annotations

import asyncio
import itertools
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Final

#: Whether this task goes on with something. Under load a run that has begun would wait once more for each of its
#: steps behind everybody who came meanwhile; nobody would end in time.
GOES_ON: Final[ContextVar[bool]] = ContextVar("GOES_ON", default=False)


class Turns:
    """Places on one event loop, in the order in which they are asked for.

    :param places: how many there are.
    """

    def __init__(self, places: int) -> None:
        self.free = places
        self.waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self.numbers = itertools.count()

    async def take(self) -> None:
        """Wait for a place, however long it takes; :meth:`give` gives it back.

        :raises TimeoutError: :meth:`fail` was called.
        """
        if self.free:
            self.free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self.waiting, (not GOES_ON.get(), next(self.numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same moment
                self.give()
            raise

    def give(self) -> None:
        """Give a place to the next one."""
        while self.waiting:
            _, _, turn = heappop(self.waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1

    def fail(self) -> None:
        """Let everybody who waits give up, since nothing moves."""
        for _, _, turn in self.waiting:
            if not turn.done():
                turn.set_exception(TimeoutError())
        self.waiting.clear()
