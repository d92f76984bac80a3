"""PrioritySemaphore: its slots go to tasks with priority first."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.serving import run
from vendorsrv.concurrency import HAS_PRIORITY, PrioritySemaphore


def test_slots_are_granted_in_order_of_arrival() -> None:
    """Released slots go to the waiting tasks in the order in which they arrived."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        waiting = [asyncio.create_task(serve(semaphore, served, name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0)
        semaphore.release()
        await asyncio.gather(*waiting)
        return served

    assert ["first", "second", "third"] == run(work())


async def serve(semaphore: PrioritySemaphore, served: list[str], name: str, *, priority: bool = False) -> None:
    """Acquire and release a slot."""
    HAS_PRIORITY.set(priority)
    await semaphore.acquire()
    served.append(name)
    semaphore.release()


def test_tasks_with_priority_are_first() -> None:
    """Tasks with priority get slots before others that arrived earlier."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        waiting = [
            asyncio.create_task(serve(semaphore, served, "new")),
            asyncio.create_task(serve(semaphore, served, "with priority", priority=True)),
            asyncio.create_task(serve(semaphore, served, "later, with priority", priority=True)),
        ]
        await asyncio.sleep(0)
        semaphore.release()
        await asyncio.gather(*waiting)
        return served

    assert ["with priority", "later, with priority", "new"] == run(work())


def test_free_slots_are_granted_at_once() -> None:
    """As many tasks as there are slots do not wait."""

    async def work() -> tuple[int, int]:
        semaphore = PrioritySemaphore(2)
        waiting = [asyncio.create_task(semaphore.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        before = sum(each.done() for each in waiting)
        semaphore.release()
        await asyncio.gather(*waiting)
        return before, len(waiting)

    assert (2, 3) == run(work())


@pytest.mark.parametrize("at_the_same_moment", [False, True])
def test_a_cancelled_task_loses_no_slot(at_the_same_moment: bool) -> None:
    """The slot of a task that is cancelled while it waits, or as the slot is granted, goes to the next task."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        impatient = asyncio.create_task(semaphore.acquire())
        patient = asyncio.create_task(serve(semaphore, served, "patient"))
        await asyncio.sleep(0)
        if at_the_same_moment:
            semaphore.release()
            impatient.cancel()
        else:
            impatient.cancel()
            await asyncio.wait([impatient])
            semaphore.release()
        await patient
        await semaphore.acquire()
        return served

    assert ["patient"] == run(work())


def test_fail_all_ends_all_waits() -> None:
    """fail_all raises TimeoutError in the tasks that wait, and later tasks wait for slots again."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        failing = [asyncio.create_task(semaphore.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        failing[0].cancel()
        semaphore.fail_all()
        found = await asyncio.gather(*failing, return_exceptions=True)
        later = asyncio.create_task(serve(semaphore, served, "later"))
        semaphore.release()
        await later
        return [type(each).__name__ for each in found] + served

    assert ["CancelledError", "TimeoutError", "TimeoutError", "later"] == run(work())
