"""FairSemaphore: neither many tasks of one key nor many keys keep others waiting."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fixtures import Clock
from tests.support.serving import run
from vendorsrv.concurrency import FairSemaphore, QueueFull

PLENTY = 60.0


async def order(names: str) -> str:
    """Return the order in which tasks get the only slot; each waits under its letter, and capitals are trusted."""
    semaphore, served = FairSemaphore(1, 100), list[str]()

    async def serve(name: str) -> None:
        async with semaphore.slot(name, PLENTY, trusted=name.isupper()):
            served.append(name)

    async with semaphore.slot("first", PLENTY, trusted=True):
        tasks = [asyncio.create_task(serve(name)) for name in names]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return "".join(served)


@pytest.mark.parametrize(
    ("arrival", "served"),
    [
        ("abc", "abc"),
        ("aaaab", "abaaa"),
        ("aaabbbc", "abcabab"),
        ("abcdA", "Aabcd"),
        ("abcdABC", "AaBbCcd"),
        ("aaaaAAAb", "AaAbAaaa"),
    ],
)
def test_each_key_and_the_trusted_have_their_turns(arrival: str, served: str) -> None:
    """The keys that wait get slots in turn, and the trusted get every second one."""
    assert served == run(order(arrival))


async def refused(semaphore: FairSemaphore, key: str, *, trusted: bool = False) -> bool:
    """Whether a task of this key may not wait; one that may waits until the test ends."""
    task = asyncio.create_task(semaphore.acquire(key, PLENTY, trusted=trusted))
    await asyncio.sleep(0)
    return task.done() and isinstance(task.exception(), QueueFull)


def test_a_wait_that_cannot_end_in_time_is_refused(clock: Clock) -> None:
    """A task may not wait when those before it, each of which holds its slot for a minute, would take too long."""

    async def work() -> list[bool]:
        semaphore = FairSemaphore(1, 100, clock)
        async with semaphore.slot("a", PLENTY, trusted=False):
            clock.now += 4 * 60.0  # the latest counts for a quarter
        await semaphore.acquire("a", PLENTY, trusted=False)
        asked = (("a", False), ("a", False), ("b", False), ("c", False), ("D", True), ("E", True))
        return [await refused(semaphore, key, trusted=trusted) for key, trusted in asked]

    assert [False, False, False, True, False, True] == run(work())


def test_before_anything_is_measured_nobody_is_refused() -> None:
    """Until a first slot was returned, as many may wait as the limit allows, of the trusted and of others each."""

    async def work() -> list[bool]:
        semaphore = FairSemaphore(1, 3)
        await semaphore.acquire("a", PLENTY, trusted=False)
        return [await refused(semaphore, "a", trusted=trusted) for trusted in (False, True) for _ in range(4)]

    assert [False, False, False, True, False, False, False, True] == run(work())


def test_a_wait_ends_in_time() -> None:
    """A task that gets no slot in time gets a TimeoutError, and leaves nothing behind."""

    async def work() -> tuple[int, int]:
        semaphore = FairSemaphore(1, 100)
        await semaphore.acquire("a", PLENTY, trusted=False)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await semaphore.acquire("b", 0.001, trusted=False)
        return semaphore.others.size, len(semaphore.others.tasks)

    assert (0, 0) == run(work())


@pytest.mark.parametrize("at_the_same_moment", [False, True])
def test_a_cancelled_task_loses_no_slot(at_the_same_moment: bool) -> None:
    """The slot of a task that is cancelled while it waits, or as the slot is granted, goes to the next task."""

    async def work() -> None:
        semaphore = FairSemaphore(1, 100)
        await semaphore.acquire("a", PLENTY, trusted=False)
        impatient = asyncio.create_task(semaphore.acquire("b", PLENTY, trusted=False))
        patient = asyncio.create_task(semaphore.acquire("c", PLENTY, trusted=False))
        await asyncio.sleep(0)
        if at_the_same_moment:
            semaphore.release()
        impatient.cancel()
        await asyncio.wait([impatient])
        if not at_the_same_moment:
            semaphore.release()
        await patient

    run(work())
