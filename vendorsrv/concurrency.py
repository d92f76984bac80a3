"""Sharing and limiting work on one event loop: single flight, semaphores with priority and fairness, and threads."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio.to_thread import run_sync

T = TypeVar("T")

#: Whether this task continues a run that has begun, and acquires a :class:`PrioritySemaphore` before those that begin
#: one. Under load each step of a run would otherwise queue behind every newcomer, and no run would end in time.
HAS_PRIORITY: Final[ContextVar[bool]] = ContextVar("HAS_PRIORITY", default=False)
#: Collects the tasks of a run that may go on when it is over, its threads among them; None where nobody needs to know.
GOING_ON: Final[ContextVar[set[asyncio.Task[Any]] | None]] = ContextVar("GOING_ON", default=None)


class SingleFlight(Generic[T]):
    """Runs work once per key; concurrent callers share the run, its result and its error."""

    def __init__(self) -> None:
        self.running: dict[Hashable, asyncio.Future[T]] = {}

    async def run(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]], seconds: float | None = None) -> T:
        """Join the run of this key, or start it in a task of its own.

        A caller that is cancelled, or whose time is up, leaves the run going for the others.

        :param key: calls with equal keys share a run.
        :param start: returns the coroutine; called only when nothing runs under the key.
        :param seconds: how long to wait; None waits without a limit.
        :returns: what the coroutine returned. What it raised is raised to every caller.
        :raises TimeoutError: the run has not ended in time.
        """
        task = self.running.get(key)
        if task is None:
            task = self.running[key] = asyncio.create_task(start())
            task.add_done_callback(partial(self.finish, key))
        if not await wait_for_end(task, seconds):
            raise TimeoutError
        return task.result()

    async def run_in_caller(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Join the run of this key, or run it in the calling task: a task of its own costs 17 % of a request.

        For work that ends in time by itself. When the caller that runs it is cancelled, the others get a TimeoutError.
        Otherwise like :meth:`run`.
        """
        if key in self.running:
            return await self.run(key, start, seconds)
        future = self.running[key] = asyncio.get_running_loop().create_future()
        try:
            result = await start()
        except BaseException as error:
            future.set_exception(TimeoutError() if isinstance(error, asyncio.CancelledError) else error)
            raise
        else:
            future.set_result(result)
            return result
        finally:
            self.finish(key, future)

    def finish(self, key: Hashable, future: asyncio.Future[T]) -> None:
        del self.running[key]
        mark_retrieved(future)


async def wait_for_end(task: asyncio.Future[Any], seconds: float | None) -> bool:
    """Wait for a task to end; if it does not end in time, leave it running.

    asyncio's own ``wait`` makes a whole request up to 9 % dearer.

    :param seconds: how long to wait; None waits without a limit.
    :returns: whether it has ended.
    """
    loop = task.get_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not ended.done():
            ended.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, wake)
    task.add_done_callback(wake)
    try:
        await ended
    finally:
        task.remove_done_callback(wake)
        if timer:
            timer.cancel()
    return task.done()


def mark_retrieved(task: asyncio.Future[Any]) -> None:
    """Retrieve a task's exception, if any: asyncio logs the text of one that nobody retrieves."""
    if not task.cancelled():
        task.exception()


class PrioritySemaphore:
    """A semaphore whose slots go to tasks with priority first (:data:`HAS_PRIORITY`), then in order of arrival.

    :param slots: how many tasks may hold it at once.
    """

    def __init__(self, slots: int) -> None:
        self.free = slots
        self.waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self.numbers = itertools.count()

    async def acquire(self) -> None:
        """Wait for a slot, without a limit; :meth:`release` returns it.

        :raises TimeoutError: :meth:`fail_all` was called.
        """
        if self.free:
            self.free -= 1
            return
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self.waiting, (not HAS_PRIORITY.get(), next(self.numbers), slot))
        try:
            await slot
        except asyncio.CancelledError:
            if not slot.cancelled():  # the slot was granted at the same moment
                self.release()
            raise

    def release(self) -> None:
        """Return a slot, to the next task that waits for one."""
        while self.waiting:
            _, _, slot = heappop(self.waiting)
            if not slot.done():
                slot.set_result(None)
                return
        self.free += 1

    def fail_all(self) -> None:
        """Raise TimeoutError in every task that waits."""
        for _, _, slot in self.waiting:
            if not slot.done():
                slot.set_exception(TimeoutError())
        self.waiting.clear()


class QueueFull(Exception):
    """A task was not allowed to wait: too many do, or its turn would not come in time."""


class Line:
    """Tasks that wait for a slot: each key has one in its turn, in the order of the tasks' arrival.

    :ivar size: how many tasks wait.
    """

    def __init__(self) -> None:
        self.tasks: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self.size = 0

    def ahead_of(self, key: Hashable) -> int:
        """Return how many of the waiting tasks have their turn before a new one of this key."""
        turns = len(self.tasks.get(key, ())) + 1
        return sum(min(len(each), turns) for each in self.tasks.values())

    def add(self, key: Hashable, slot: asyncio.Future[None]) -> None:
        self.tasks.setdefault(key, deque()).append(slot)
        self.size += 1

    def pop(self) -> asyncio.Future[None]:
        key = next(iter(self.tasks))
        slot = self.tasks[key][0]
        others = self.remove(key, slot)
        if others:  # the key goes to the end
            self.tasks[key] = self.tasks.pop(key)
        return slot

    def remove(self, key: Hashable, slot: asyncio.Future[None]) -> int:
        """Take a task out; return how many tasks of its key are left."""
        others = self.tasks[key]
        others.remove(slot)
        self.size -= 1
        if not others:
            del self.tasks[key]
        return len(others)


class FairSemaphore:
    """A semaphore that lets neither many tasks of one key nor many keys keep others waiting.

    Every second slot goes to a task that is trusted, if one waits, and those between to the others. Among each, one key
    after the other has its turn.

    :param slots: how many tasks may hold it at once.
    :param limit: how many trusted tasks may wait, and how many others.
    :param clock: seconds that only go forward.
    """

    def __init__(self, slots: int, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.slots = self.free = slots
        self.limit = limit
        self.clock = clock
        self.trusted, self.others = Line(), Line()
        self.last = self.others  # the line that had the last slot
        #: Seconds for which a slot is held at present: the mean, in which the latest counts for a quarter.
        self.held_for = 0.0

    @asynccontextmanager
    async def slot(self, key: Hashable, seconds: float, *, trusted: bool) -> AsyncIterator[None]:
        """Hold a slot, after a wait for one.

        :param seconds: how long to wait.
        :raises QueueFull: the wait would be longer, as long as slots are held at present; raised without waiting.
        :raises TimeoutError: the wait was longer.
        """
        await self.acquire(key, seconds, trusted=trusted)
        started = self.clock()
        try:
            yield
        finally:
            self.held_for += (self.clock() - started - self.held_for) / 4
            self.release()

    async def acquire(self, key: Hashable, seconds: float, *, trusted: bool) -> None:
        if self.free:
            self.free -= 1
            return
        line, other = (self.trusted, self.others) if trusted else (self.others, self.trusted)
        ahead = line.ahead_of(key)
        ahead += min(ahead + 1, other.size)
        if line.size >= self.limit or ahead * self.held_for / self.slots > seconds:
            raise QueueFull
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.add(key, slot)
        try:
            if not await wait_for_end(slot, seconds):
                raise TimeoutError
        except BaseException:
            if slot.done():  # it was granted at the moment of the cancellation
                self.release()
            else:
                line.remove(key, slot)
            raise

    def release(self) -> None:
        other = self.trusted if self.last is self.others else self.others
        if other.size:
            self.last = other
        if self.last.size:
            self.last.pop().set_result(None)
        else:
            self.free += 1


class NoThreadFree(Exception):
    """Every thread of the budget is busy."""


class ThreadBudget:
    """Runs blocking functions in at most so many threads.

    A thread cannot be stopped: one whose caller stopped waiting counts until its function returns.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.busy = 0
        self.limiter = anyio.CapacityLimiter(limit)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread; return what it returns, and raise what it raises.

        :raises NoThreadFree: all threads are busy; raised without waiting.
        """
        if self.busy >= self.limit:
            raise NoThreadFree
        self.busy += 1
        task = asyncio.create_task(run_sync(function, *arguments, limiter=self.limiter))
        task.add_done_callback(self.free)
        if (tasks := GOING_ON.get()) is not None:
            tasks.add(task)
        return await asyncio.shield(task)

    def free(self, task: asyncio.Task[Any]) -> None:
        self.busy -= 1
        mark_retrieved(task)
