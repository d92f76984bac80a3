"""SingleFlight: concurrent callers with the same key share one run."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.support.serving import run
from vendorsrv.concurrency import SingleFlight


class Work:
    """Work that waits for an event, and counts its runs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started = 0
        self.may_end = asyncio.Event()
        self.error = error

    async def __call__(self) -> int:
        """Wait for the event, then return the number of this run or raise the error."""
        self.started += 1
        number = self.started
        await self.may_end.wait()
        if self.error:
            raise self.error
        return number


def test_concurrent_callers_share_one_result() -> None:
    """A hundred concurrent callers share one run and its result."""

    async def call() -> tuple[list[int], int]:
        single_flight, work = SingleFlight[int](), Work()
        callers = [asyncio.create_task(single_flight.run("key", work)) for _ in range(100)]
        await asyncio.sleep(0)
        work.may_end.set()
        return await asyncio.gather(*callers), work.started

    assert ([1] * 100, 1) == run(call())


def test_concurrent_callers_share_one_error() -> None:
    """The error of a run is raised to all its callers, and the next caller starts another run."""

    async def call() -> list[object]:
        single_flight, work = SingleFlight[int](), Work(ValueError("no"))
        callers = [asyncio.create_task(single_flight.run("key", work)) for _ in range(3)]
        work.may_end.set()
        errors = await asyncio.gather(*callers, return_exceptions=True)
        work.error = None
        return [*map(str, errors), await single_flight.run("key", work)]

    assert ["no", "no", "no", 2] == run(call())


def test_other_keys_do_not_wait() -> None:
    """A run does not delay the run of another key."""

    async def call() -> int:
        single_flight, slow, quick = SingleFlight[int](), Work(), Work()
        quick.may_end.set()
        waiting = asyncio.create_task(single_flight.run("slow", slow))
        answer = await single_flight.run("quick", quick)
        slow.may_end.set()
        await waiting
        return answer

    assert 1 == run(call())


def test_a_cancelled_caller_does_not_cancel_the_run() -> None:
    """When the caller that started a run is cancelled, the run continues for the others."""

    async def call() -> tuple[bool, int]:
        single_flight, work = SingleFlight[int](), Work()
        first, second = (asyncio.create_task(single_flight.run("key", work)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        work.may_end.set()
        return first.cancelled(), await second

    assert (True, 1) == run(call())


def test_a_caller_s_timeout_does_not_end_the_run() -> None:
    """A caller whose time is up gets a TimeoutError, and the run continues for the others."""

    async def call() -> int:
        single_flight, work = SingleFlight[int](), Work()
        with pytest.raises(TimeoutError):
            await single_flight.run("key", work, 0.0)
        work.may_end.set()
        return await single_flight.run("key", work)

    assert 1 == run(call())


def test_the_error_of_an_abandoned_run_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """When no caller waits for a run that fails, its key is freed and its error is not logged."""

    async def call() -> dict[object, object]:
        single_flight, work = SingleFlight[int](), Work(ValueError("planted-secret"))
        caller = asyncio.create_task(single_flight.run("key", work))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        work.may_end.set()
        await asyncio.wait({*single_flight.running.values()})
        return {**single_flight.running}

    assert {} == run(call())
    gc.collect()
    assert [] == caplog.messages


def test_a_cancelled_run_frees_its_key() -> None:
    """After a run is cancelled, the next caller starts another one."""

    async def call() -> int:
        single_flight, work = SingleFlight[int](), Work()
        caller = asyncio.create_task(single_flight.run("key", work))
        await asyncio.sleep(0)
        single_flight.running["key"].cancel()
        await asyncio.wait({caller})
        work.may_end.set()
        return await single_flight.run("key", work)

    assert 1 == run(call())


def test_a_run_in_its_caller_shares_its_result() -> None:
    """Callers share the result of a run in the first caller's task, and the next caller starts another run."""

    async def call() -> tuple[list[int], int]:
        single_flight, work = SingleFlight[int](), Work()
        callers = [asyncio.create_task(single_flight.run_in_caller("key", work, 10)) for _ in range(3)]
        await asyncio.sleep(0)
        work.may_end.set()
        return await asyncio.gather(*callers), await single_flight.run_in_caller("key", work, 10)

    assert ([1, 1, 1], 2) == run(call())


def test_a_run_in_its_caller_shares_its_error() -> None:
    """The error of a run in the first caller's task is raised to all callers."""

    async def call() -> list[object]:
        single_flight, work = SingleFlight[int](), Work(ValueError("no"))
        callers = [asyncio.create_task(single_flight.run_in_caller("key", work, 10)) for _ in range(3)]
        work.may_end.set()
        return [*map(str, await asyncio.gather(*callers, return_exceptions=True))]

    assert ["no", "no", "no"] == run(call())


def test_cancelling_a_run_in_its_caller_times_the_others_out() -> None:
    """When the caller that runs the work is cancelled, the others get a TimeoutError."""

    async def call() -> list[str]:
        single_flight, work = SingleFlight[int](), Work()
        first, second = (asyncio.create_task(single_flight.run_in_caller("key", work, 10)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        found = await asyncio.gather(first, second, return_exceptions=True)
        return [type(each).__name__ for each in found]

    assert ["CancelledError", "TimeoutError"] == run(call())
