"""How much one handler may have to do, and when it is left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from tests.support.fixtures import Clock
from tests.support.serving import run
from vendorsrv import BadRequest, HandlerError, NotYet, VendordataError
from vendorsrv.errors import Busy, HandlerTimeout
from vendorsrv.handlers.limiter import Limiter

RESTING = (503, "handler mail failed too often and is not asked for some seconds")
BUSY = (503, "handler mail is busy")
FAILED = (500, "handler mail failed")


def limiter(clock: Clock, concurrency: int = 64, queue: int = 256) -> Limiter:
    """The limiter of a handler ``mail``."""
    return Limiter("mail", concurrency, queue, clock)


async def outcome(asked: Awaitable[object]) -> object:
    """Say how a pass through the limiter ended: its value, or status and message."""
    try:
        return await asked
    except VendordataError as error:
        return error.status, error.message
    except NotYet:
        return "not yet"


async def enter(limiter: Limiter, instance: str = "a", error: Exception | None = None, budget: float = 60.0) -> object:
    """Go through the limiter; inside, fail or not."""

    async def work() -> str:
        async with limiter.slot(instance, budget):
            if error:
                raise error
            return "done"

    return await outcome(work())


async def fail(limiter: Limiter, instances: str) -> list[object]:
    """Fail for instances in turn, one for each letter."""
    return [await enter(limiter, instance, HandlerError("handler mail failed")) for instance in instances]


class Held:
    """Requests that are inside until they are let go."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.over = asyncio.Event()
        self.inside = 0

    async def enter(self, instance: str = "a", budget: float = 60.0) -> object:
        """Go in, and stay."""

        async def work() -> str:
            async with self.limiter.slot(instance, budget):
                self.inside += 1
                await self.over.wait()
                return "done"

        return await outcome(work())


def test_so_many_are_inside_so_many_wait_and_the_next_is_refused_at_once(clock: Clock) -> None:
    """All who were taken in have their turn."""

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
    assert (2, [BUSY, *["done"] * 5]) == (inside, outcomes)
    assert 5.0 > waited  # of the 60 seconds that he would wait in the queue


def test_who_waits_in_the_queue_waits_no_longer_than_his_time(clock: Clock) -> None:
    """His place in the queue is another's then."""

    async def ask() -> list[object]:
        held = Held(limiter(clock, concurrency=1, queue=1))
        first = asyncio.create_task(held.enter())
        await asyncio.sleep(0)
        late = await held.enter(budget=0.05)
        next_one = asyncio.create_task(held.enter())
        await asyncio.sleep(0)
        held.over.set()
        return [late, await first, await next_one]

    assert [BUSY, "done", "done"] == run(ask())


def test_who_goes_away_leaves_his_place(clock: Clock) -> None:
    """Inside or in the queue."""

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


def test_a_handler_that_fails_for_five_instances_rests_ten_seconds(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """For all instances; then one tries, and when that goes well, so may all."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        outcomes = [*await fail(mail, "abcde"), mail.resting, await enter(mail, "f")]
        clock.now += 9.9
        outcomes.append(await enter(mail, "f"))
        clock.now += 0.1
        return [*outcomes, mail.resting, await enter(mail, "f"), await enter(mail, "a")]

    assert [*[FAILED] * 5, True, RESTING, RESTING, False, "done", "done"] == run(ask())
    assert ["handler mail failed 5 times in a row and rests"] == caplog.messages


def test_a_handler_that_fails_again_after_its_rest_rests_again(clock: Clock) -> None:
    """One failure is enough then."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        await fail(mail, "abcde")
        clock.now += 10.0
        outcomes = [*await fail(mail, "f"), await enter(mail, "g")]
        clock.now += 10.0
        return [*outcomes, await enter(mail, "g")]

    assert [FAILED, RESTING, "done"] == run(ask())


def test_one_tries_and_the_others_go_on_resting(clock: Clock) -> None:
    """A handler that is ill gets no storm."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        await fail(mail, "abcde")
        clock.now += 10.0
        held = Held(mail)
        trial = asyncio.create_task(held.enter("f"))
        await asyncio.sleep(0)
        refused = [await enter(mail, instance) for instance in "gh"]
        held.over.set()
        return [*refused, await trial, await enter(mail, "g")]

    assert [RESTING, RESTING, "done", "done"] == run(ask())


def test_an_instance_that_a_handler_stumbles_over_closes_it_for_itself_alone(clock: Clock) -> None:
    """Nova asks six times and more."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        outcomes = await fail(mail, "aaaaaa")
        return [*outcomes, mail.resting, await enter(mail, "b"), mail.resting]

    assert [*[FAILED] * 5, RESTING, True, "done", False] == run(ask())


def test_who_stood_in_the_queue_when_the_rest_began_is_refused_too(clock: Clock) -> None:
    """Else each of them would wait for the failure in his turn."""
    mail = limiter(clock, concurrency=1)

    async def ask() -> list[object]:
        held = Held(mail)
        first = asyncio.create_task(held.enter("z"))
        await asyncio.sleep(0)
        failing = [asyncio.create_task(enter(mail, each, HandlerError("handler mail failed"))) for each in "abcdefgh"]
        await asyncio.sleep(0)
        held.over.set()
        return [await first, *await asyncio.gather(*failing)]

    assert ["done", *[FAILED] * 5, *[RESTING] * 3] == run(ask())


@pytest.mark.parametrize(
    ("error", "rests"),
    [
        (HandlerError("x"), True),
        (HandlerTimeout("x"), True),
        (BadRequest("x"), False),
        (Busy("x"), False),
        (NotYet(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_counts_as_a_failure(clock: Clock, error: Exception, rests: bool) -> None:
    """Not what the caller did wrong, nor the server's own limits, nor that it is too early."""
    mail = limiter(clock)

    async def ask() -> None:
        for instance in "abcde":
            await enter(mail, instance, error)

    run(ask())
    assert rests == mail.resting


@pytest.mark.parametrize(("error", "resting"), [(None, False), (NotYet(), False), (BadRequest("x"), False)])
def test_what_ends_a_row_of_failures(clock: Clock, error: Exception | None, resting: bool) -> None:
    """The handler has come to its end."""
    mail = limiter(clock)

    async def ask() -> None:
        await fail(mail, "abcd")
        await enter(mail, "e", error)
        await fail(mail, "f")

    run(ask())
    assert resting == mail.resting


def test_being_busy_ends_no_row_of_failures(clock: Clock) -> None:
    """Nobody knows how it would have ended."""
    mail = limiter(clock)

    async def ask() -> None:
        await fail(mail, "abcd")
        await enter(mail, "e", Busy("x"))
        await fail(mail, "f")

    run(ask())
    assert mail.resting
