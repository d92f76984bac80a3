"""ThreadBudget: blocking functions run in a limited number of threads."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from tests.support.serving import run
from vendorsrv.concurrency import NoThreadFree, ThreadBudget


async def wait_until_free(threads: ThreadBudget) -> None:
    """Wait until no thread is busy."""
    async with asyncio.timeout(60):
        while threads.busy:  # noqa: ASYNC110 - no event tells of a thread's end
            await asyncio.sleep(0.01)


def test_a_function_runs_in_another_thread() -> None:
    """A function is called with its arguments in another thread, and its result is returned."""
    here = threading.get_ident()
    there, total = run(ThreadBudget(1).run(lambda *numbers: (threading.get_ident(), sum(numbers)), 1, 2))
    assert (True, 3) == (here != there, total)


def test_a_function_s_exception_is_raised() -> None:
    """The exception of a function is raised to the caller."""
    with pytest.raises(ZeroDivisionError):
        run(ThreadBudget(1).run(lambda: 1 // 0))


def test_a_call_above_the_limit_fails_at_once() -> None:
    """Up to the limit functions run concurrently; another call raises NoThreadFree until one of them ends."""

    async def call() -> list[object]:
        threads, both, may_end = ThreadBudget(2), threading.Barrier(3), threading.Event()

        def work() -> str:
            both.wait(60)
            may_end.wait(60)
            return "done"

        calls = [asyncio.create_task(threads.run(work)) for _ in range(2)]
        await asyncio.to_thread(both.wait, 60)
        with pytest.raises(NoThreadFree):
            await threads.run(work)
        may_end.set()
        return [*await asyncio.gather(*calls), await threads.run(lambda: "again")]

    assert ["done", "done", "again"] == run(call())


def test_an_abandoned_thread_counts_until_it_ends() -> None:
    """A thread whose caller timed out is busy until its function returns."""

    async def call() -> list[int]:
        threads, may_end = ThreadBudget(1), threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(may_end.wait, 60)
        busy = threads.busy
        may_end.set()
        await wait_until_free(threads)
        return [busy, threads.busy]

    assert [1, 0] == run(call())


def test_the_error_of_an_abandoned_thread_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The exception of a function whose caller timed out is not logged, since its text may contain a secret."""

    async def call() -> None:
        threads, may_end = ThreadBudget(1), threading.Event()

        def work() -> None:
            may_end.wait(60)
            raise ValueError("planted-secret")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(work)
        may_end.set()
        await wait_until_free(threads)

    run(call())
    gc.collect()
    assert [] == caplog.messages
