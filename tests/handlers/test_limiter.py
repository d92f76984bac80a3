"""The concurrency limit and the queue of one handler."""

from __future__ import annotations

import asyncio
import time

from tests.support.fixtures import Clock
from tests.support.limiting import Held, limiter
from tests.support.serving import run

FULL = (503, "the concurrency limit and the queue of handler mail are full")
LATE = (503, "handler mail had no free slot in time")


def test_a_request_beyond_the_concurrency_limit_and_the_queue_is_refused_at_once(clock: Clock) -> None:
    """With two running and three in the queue, the next request is refused without waiting; the five are served."""

    async def ask() -> tuple[int, float, list[object]]:
        held = Held(limiter(clock, concurrency=2, queue=3))
        tasks = [asyncio.create_task(held.enter()) for _ in range(5)]
        await asyncio.sleep(0)
        inside, started = held.inside, time.monotonic()
        refused = await held.enter()
        waited = time.monotonic() - started
        held.over.set()
        return inside, waited, [refused, *await asyncio.gather(*tasks)]

    inside, waited, outcomes = run(ask())
    assert (2, [FULL, *["done"] * 5]) == (inside, outcomes)
    assert 5.0 > waited  # of the 60 seconds that it would wait in the queue


def test_a_request_waits_in_the_queue_until_its_budget_is_used_up(clock: Clock) -> None:
    """A request whose budget runs out in the queue is refused, and leaves its place to the next."""

    async def ask() -> list[object]:
        held = Held(limiter(clock, concurrency=1, queue=1))
        first = asyncio.create_task(held.enter())
        await asyncio.sleep(0)
        late = await held.enter(budget=0.05)
        next_one = asyncio.create_task(held.enter())
        await asyncio.sleep(0)
        held.over.set()
        return [late, await first, await next_one]

    assert [LATE, "done", "done"] == run(ask())


def test_a_cancelled_request_frees_its_slot_or_its_place_in_the_queue(clock: Clock) -> None:
    """After the running and the waiting request were cancelled, the next one runs at once."""

    async def ask() -> list[object]:
        held = Held(limiter(clock, concurrency=1, queue=1))
        tasks = [asyncio.create_task(held.enter()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        held.over.set()
        return [held.limiter.waiting, await held.enter()]

    assert [0, "done"] == run(ask())
