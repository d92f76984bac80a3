"""A counted budget of threads."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from tests.support.serving import run
from vendorsrv.concurrency import NoThreadFree, ThreadBudget


async def free_again(threads: ThreadBudget) -> None:
    """Wait until no thread is at work."""
    async with asyncio.timeout(60):
        while threads.busy:  # noqa: ASYNC110 - a thread's end is no event
            await asyncio.sleep(0.01)


def test_a_function_runs_in_another_thread_with_its_arguments() -> None:
    """What it returns comes back."""
    here = threading.get_ident()
    there, total = run(ThreadBudget(1).run(lambda *numbers: (threading.get_ident(), sum(numbers)), 1, 2))
    assert (True, 3) == (here != there, total)


def test_what_a_function_raises_is_raised() -> None:
    """As it is."""
    with pytest.raises(ZeroDivisionError):
        run(ThreadBudget(1).run(lambda: 1 // 0))


def test_who_finds_no_thread_is_told_at_once() -> None:
    """Up to the limit they run side by side; a thread that ends makes room."""

    async def ask() -> list[object]:
        threads, both, over = ThreadBudget(2), threading.Barrier(3), threading.Event()

        def work() -> str:
            both.wait(60)
            over.wait(60)
            return "done"

        calls = [asyncio.create_task(threads.run(work)) for _ in range(2)]
        await asyncio.to_thread(both.wait, 60)
        with pytest.raises(NoThreadFree):
            await threads.run(work)
        over.set()
        return [*await asyncio.gather(*calls), await threads.run(lambda: "again")]

    assert ["done", "done", "again"] == run(ask())


def test_a_thread_that_was_given_up_counts_until_it_ends() -> None:
    """It cannot be stopped."""

    async def ask() -> list[int]:
        threads, over = ThreadBudget(1), threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(over.wait, 60)
        busy = threads.busy
        over.set()
        await free_again(threads)
        return [busy, threads.busy]

    assert [1, 0] == run(ask())


def test_a_thread_that_was_given_up_fails_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for its error, and its text may hold a secret."""

    async def ask() -> None:
        threads, over = ThreadBudget(1), threading.Event()

        def work() -> None:
            over.wait(60)
            raise ValueError("planted-secret")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(work)
        over.set()
        await free_again(threads)

    run(ask())
    gc.collect()
    assert [] == caplog.messages
