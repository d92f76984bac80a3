"""The concurrency limit, the queue and the circuit breaker of one handler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from tests.support.fixtures import Clock
from tests.support.serving import run
from vendorsrv import NotYet, ServiceUnavailable, VendordataError, VendordataRequest, errors
from vendorsrv.handlers.limiter import Limiter
from vendorsrv.handlers.runner import UnexpectedError

OPEN = (503, "handler mail keeps failing; retry in 10 seconds")
FULL = (503, "the concurrency limit and the queue of handler mail are full")
LATE = (503, "handler mail had no free slot in time")
FAILED = (503, "mail is away")


def limiter(clock: Clock, concurrency: int = 64, queue: int = 256) -> Limiter:
    """The limiter of a handler ``mail``."""
    return Limiter("mail", concurrency, queue, clock)


def request(name: str) -> VendordataRequest:
    """The request of an instance; the letter after a slash is its project."""
    instance, _, project = name.partition("/")
    return VendordataRequest(instance, project)


async def outcome(asked: Awaitable[object]) -> object:
    """Return how a run ended: its value, or status and message."""
    try:
        return await asked
    except VendordataError as error:
        return error.status, error.message
    except NotYet:
        return "not yet"


async def enter(limiter: Limiter, instance: str = "a", error: Exception | None = None, budget: float = 60.0) -> object:
    """Run once, and fail or not."""

    async def work() -> str:
        async with limiter.slot(request(instance), budget):
            if error:
                raise error
            return "done"

    return await outcome(work())


async def fail(limiter: Limiter, instances: str) -> list[object]:
    """Fail for instances in turn, one for each letter."""
    return [await enter(limiter, instance, ServiceUnavailable("mail is away")) for instance in instances]


class Held:
    """Requests that hold a slot until they are released."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.over = asyncio.Event()
        self.inside = 0

    async def enter(self, instance: str = "a", budget: float = 60.0) -> object:
        """Take a slot, and hold it."""

        async def work() -> str:
            async with self.limiter.slot(request(instance), budget):
                self.inside += 1
                await self.over.wait()
                return "done"

        return await outcome(work())


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


def test_five_failed_instances_open_the_circuit_for_ten_seconds(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Failures for five instances in a row open the circuit for all; after ten seconds a success closes it."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        outcomes = [*await fail(mail, "abcde"), mail.is_open, await enter(mail, "f")]
        clock.now += 9.9
        outcomes.append(await enter(mail, "f"))
        clock.now += 0.1
        return [*outcomes, mail.is_open, await enter(mail, "f"), await enter(mail, "a")]

    assert [*[FAILED] * 5, True, OPEN, OPEN, False, "done", "done"] == run(ask())
    assert ["handler mail failed 5 times in a row: its circuit is open"] == caplog.messages


def test_a_failure_while_half_open_opens_the_circuit_again(clock: Clock) -> None:
    """After ten seconds, one failure is enough to open the circuit for ten more."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        await fail(mail, "abcde")
        clock.now += 10.0
        outcomes = [*await fail(mail, "f"), await enter(mail, "g")]
        clock.now += 10.0
        return [*outcomes, await enter(mail, "g")]

    assert [FAILED, OPEN, "done"] == run(ask())


def test_a_half_open_circuit_lets_one_request_pass(clock: Clock) -> None:
    """While the one request of a half-open circuit runs, all others are refused."""
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

    assert [OPEN, OPEN, "done", "done"] == run(ask())


def test_one_failing_instance_opens_the_circuit_for_itself_alone(clock: Clock) -> None:
    """Five failures for one instance refuse its next request, while those of other instances pass."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        outcomes = await fail(mail, "aaaaaa")
        return [*outcomes, mail.is_open, await enter(mail, "b"), mail.is_open]

    assert [*[FAILED] * 5, OPEN, True, "done", False] == run(ask())


def test_requests_in_the_queue_are_refused_when_the_circuit_opens(clock: Clock) -> None:
    """Requests that were in the queue when the circuit opened are refused when they get a slot."""
    mail = limiter(clock, concurrency=1)

    async def ask() -> list[object]:
        held = Held(mail)
        first = asyncio.create_task(held.enter("z"))
        await asyncio.sleep(0)
        failing = [asyncio.create_task(enter(mail, each, ServiceUnavailable("mail is away"))) for each in "abcdefgh"]
        await asyncio.sleep(0)
        held.over.set()
        return [await first, *await asyncio.gather(*failing)]

    assert ["done", *[FAILED] * 5, *[OPEN] * 3] == run(ask())


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (errors.HandlerTimeout("x"), True),
        (ServiceUnavailable("x"), True),
        (errors.UpstreamError("x"), True),
        (errors.UpstreamRefused("x"), False),
        (errors.HandlerError("x"), False),
        (errors.AnswerError("x"), False),
        (errors.CloudInitError("x"), False),
        (errors.BadRequest("x"), False),
        (errors.Busy("x"), False),
        (NotYet(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outages_count_as_failures(clock: Clock, error: Exception, opens: bool) -> None:
    """What is wrong for its instance, a full queue and a provisional answer do not count."""
    mail = limiter(clock)

    async def ask() -> None:
        for instance in "abcde":
            await enter(mail, instance, error)

    run(ask())
    assert opens == mail.is_open


@pytest.mark.parametrize(
    ("instances", "opens"),
    [
        ("a/p b/p c/p d/p e/p f/p g/p", False),
        ("a/p b/p c/p d/p e/q", True),
        ("a/p b/p c/q d/q e/r f/r", True),
    ],
)
def test_unexpected_exceptions_count_when_several_projects_have_them(
    clock: Clock, caplog: pytest.LogCaptureFixture, instances: str, opens: bool
) -> None:
    """Exceptions that the data of one project may cause do not close the handler for the others."""
    mail = limiter(clock)

    async def ask() -> object:
        for instance in instances.split():
            await enter(mail, instance, UnexpectedError("x"))
        return await enter(mail, "z/z")

    assert (OPEN if opens else "done") == run(ask())
    assert opens == ("its circuit is open" in caplog.text)


def test_outages_of_others_do_not_refuse_a_project_s_exceptions(clock: Clock) -> None:
    """An open circuit concerns the instances of the outage, and not those of exceptions that do not count."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        for instance in ["b/p", "c/p", "d/p", "e/p"]:
            await enter(mail, instance, UnexpectedError("x"))
        for _ in range(5):
            await enter(mail, "a/q", ServiceUnavailable("x"))
        return [await enter(mail, "a/q"), await enter(mail, "b/p")]

    assert [OPEN, "done"] == run(ask())


@pytest.mark.parametrize(
    ("error", "is_open"),
    [(None, False), (NotYet(), False), (errors.BadRequest("x"), False), (errors.AnswerError("x"), False)],
)
def test_any_result_of_the_handler_ends_a_row_of_failures(clock: Clock, error: Exception | None, is_open: bool) -> None:
    """A success, a provisional answer, a 4xx and a wrong answer each reset the count of failures."""
    mail = limiter(clock)

    async def ask() -> None:
        await fail(mail, "abcd")
        await enter(mail, "e", error)
        await fail(mail, "f")

    run(ask())
    assert is_open == mail.is_open


def test_a_busy_handler_leaves_the_count_of_failures(clock: Clock) -> None:
    """503 busy neither counts as a failure nor resets the count."""
    mail = limiter(clock)

    async def ask() -> None:
        await fail(mail, "abcd")
        await enter(mail, "e", errors.Busy("x"))
        await fail(mail, "f")

    run(ask())
    assert mail.is_open
