"""One run at a time per key."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.support.serving import run
from vendorsrv.concurrency import SingleFlight


class Work:
    """A run that ends when the test says so, and counts how often it began."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.over = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        """Wait, and give the number of the run or raise."""
        self.begun += 1
        number = self.begun
        await self.over.wait()
        if self.error:
            raise self.error
        return number


def test_everybody_who_asks_meanwhile_gets_the_one_result() -> None:
    """A hundred callers, one run."""

    async def ask() -> tuple[list[int], int]:
        single_flight, work = SingleFlight[int](), Work()
        callers = [asyncio.create_task(single_flight.run("key", work)) for _ in range(100)]
        await asyncio.sleep(0)
        work.over.set()
        return await asyncio.gather(*callers), work.begun

    assert ([1] * 100, 1) == run(ask())


def test_everybody_gets_the_one_error() -> None:
    """And the next caller starts anew."""

    async def ask() -> list[object]:
        single_flight, work = SingleFlight[int](), Work(ValueError("no"))
        callers = [asyncio.create_task(single_flight.run("key", work)) for _ in range(3)]
        work.over.set()
        errors = await asyncio.gather(*callers, return_exceptions=True)
        work.error = None
        return [*map(str, errors), await single_flight.run("key", work)]

    assert ["no", "no", "no", 2] == run(ask())


def test_other_keys_run_side_by_side() -> None:
    """One key's run keeps nobody else waiting."""

    async def ask() -> int:
        single_flight, slow, quick = SingleFlight[int](), Work(), Work()
        quick.over.set()
        waiting = asyncio.create_task(single_flight.run("slow", slow))
        answer = await single_flight.run("quick", quick)
        slow.over.set()
        await waiting
        return answer

    assert 1 == run(ask())


def test_who_gives_up_leaves_the_run_to_the_others() -> None:
    """The first one too, who started it."""

    async def ask() -> tuple[bool, int]:
        single_flight, work = SingleFlight[int](), Work()
        first, second = (asyncio.create_task(single_flight.run("key", work)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        work.over.set()
        return first.cancelled(), await second

    assert (True, 1) == run(ask())


def test_a_run_that_everybody_gave_up_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is nobody's any more, and its key is free."""

    async def ask() -> dict[object, object]:
        single_flight, work = SingleFlight[int](), Work(ValueError("planted-secret"))
        caller = asyncio.create_task(single_flight.run("key", work))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        work.over.set()
        await asyncio.wait({*single_flight.running.values()})
        return {**single_flight.running}

    assert {} == run(ask())
    gc.collect()
    assert [] == caplog.messages


def test_a_run_that_is_cancelled_frees_its_key() -> None:
    """As when the worker stops."""

    async def ask() -> int:
        single_flight, work = SingleFlight[int](), Work()
        caller = asyncio.create_task(single_flight.run("key", work))
        await asyncio.sleep(0)
        single_flight.running["key"].cancel()
        await asyncio.wait({caller})
        work.over.set()
        return await single_flight.run("key", work)

    assert 1 == run(ask())


def test_who_is_the_run_gives_its_result_to_the_others() -> None:
    """Without a task in between; and the next caller starts anew."""

    async def ask() -> tuple[list[int], int]:
        single_flight, work = SingleFlight[int](), Work()
        callers = [asyncio.create_task(single_flight.run_in_caller("key", work, 10)) for _ in range(3)]
        await asyncio.sleep(0)
        work.over.set()
        return await asyncio.gather(*callers), await single_flight.run_in_caller("key", work, 10)

    assert ([1, 1, 1], 2) == run(ask())


def test_who_is_the_run_gives_its_error_to_the_others() -> None:
    """Each of them raises it."""

    async def ask() -> list[object]:
        single_flight, work = SingleFlight[int](), Work(ValueError("no"))
        callers = [asyncio.create_task(single_flight.run_in_caller("key", work, 10)) for _ in range(3)]
        work.over.set()
        return [*map(str, await asyncio.gather(*callers, return_exceptions=True))]

    assert ["no", "no", "no"] == run(ask())


def test_when_who_is_the_run_is_cancelled_the_time_of_the_others_is_over() -> None:
    """They are not cancelled themselves."""

    async def ask() -> list[str]:
        single_flight, work = SingleFlight[int](), Work()
        first, second = (asyncio.create_task(single_flight.run_in_caller("key", work, 10)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        return [type(each).__name__ for each in found]

    assert ["CancelledError", "TimeoutError"] == run(ask())
