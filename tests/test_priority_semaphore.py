"""A few places for many: those who go on with what they have begun are first."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.serving import run
from vendorsrv.concurrency import HAS_PRIORITY, PrioritySemaphore


def test_places_are_given_in_the_order_in_which_they_are_asked_for() -> None:
    """One after the other, as they are given back."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        waiting = [asyncio.create_task(serve(semaphore, served, name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0)
        semaphore.release()
        await asyncio.gather(*waiting)
        return served

    assert ["first", "second", "third"] == run(work())


async def serve(semaphore: PrioritySemaphore, served: list[str], name: str, *, goes_on: bool = False) -> None:
    """Take a place, and give it back."""
    HAS_PRIORITY.set(goes_on)
    await semaphore.acquire()
    served.append(name)
    semaphore.release()


def test_who_goes_on_is_before_all_who_begin() -> None:
    """Whenever they came."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        waiting = [
            asyncio.create_task(serve(semaphore, served, "begins")),
            asyncio.create_task(serve(semaphore, served, "goes on", goes_on=True)),
            asyncio.create_task(serve(semaphore, served, "goes on later", goes_on=True)),
        ]
        await asyncio.sleep(0)
        semaphore.release()
        await asyncio.gather(*waiting)
        return served

    assert ["goes on", "goes on later", "begins"] == run(work())


def test_as_many_have_a_place_as_there_are() -> None:
    """Nobody waits for a free one."""

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
def test_the_place_of_one_who_gives_up_is_not_lost(at_the_same_moment: bool) -> None:
    """Not even when he gives up just as he gets it."""

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


def test_all_who_wait_give_up_when_nothing_moves() -> None:
    """Whoever comes afterwards waits for the place again."""

    async def work() -> list[str]:
        semaphore, served = PrioritySemaphore(1), list[str]()
        await semaphore.acquire()
        hopeless = [asyncio.create_task(semaphore.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        hopeless[0].cancel()
        semaphore.fail_all()
        found = await asyncio.gather(*hopeless, return_exceptions=True)
        later = asyncio.create_task(serve(semaphore, served, "later"))
        semaphore.release()
        await later
        return [type(each).__name__ for each in found] + served

    assert ["CancelledError", "TimeoutError", "TimeoutError", "later"] == run(work())
