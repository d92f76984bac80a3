"""The circuit breaker of one handler."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fixtures import Clock
from tests.support.limiting import Held, enter, fail, limiter
from tests.support.serving import run
from vendorsrv import NotYet, ServiceUnavailable, errors
from vendorsrv.answer import UnusableAnswer
from vendorsrv.cloudinit.text import LateCheck
from vendorsrv.handlers.runner import UnexpectedError

OPEN = (503, "handler mail keeps failing; retry in 10 seconds")
FAILED = (503, "mail is away")


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
        (LateCheck("x"), False),
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
        ("a/p b/p c/p d/p e/p f/p g/q", True),
    ],
)
@pytest.mark.parametrize("error", [UnexpectedError("x"), UnusableAnswer("x")], ids=["exception", "answer"])
def test_what_one_project_may_cause_counts_when_several_have_it(
    clock: Clock, caplog: pytest.LogCaptureFixture, instances: str, opens: bool, error: Exception
) -> None:
    """Unexpected exceptions and unusable answers for the data of one project do not close the handler for others."""
    mail = limiter(clock)

    async def ask() -> object:
        for instance in instances.split():
            await enter(mail, instance, error)
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


def test_exceptions_of_one_project_do_not_prolong_an_outage(clock: Clock) -> None:
    """When the request of a half-open circuit raises an exception that does not count, the next request passes."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        await fail(mail, "abcde")
        clock.now += 10.0
        raised = await enter(mail, "f/p", UnexpectedError("x"))
        return [raised, await enter(mail, "g/q"), mail.is_open]

    assert [(500, "x"), "done", False] == run(ask())


def test_exceptions_of_one_project_leave_a_circuit_open(clock: Clock) -> None:
    """The circuit that is open for one instance is neither closed nor kept open by exceptions that do not count."""
    mail = limiter(clock)

    async def ask() -> list[object]:
        await fail(mail, "aaaaa")
        clock.now += 5.0
        await enter(mail, "b/p", UnexpectedError("x"))
        refused = await enter(mail, "a")
        clock.now += 5.0
        return [refused, await enter(mail, "a")]

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


@pytest.mark.parametrize("error", [errors.Busy("x"), LateCheck("x")], ids=["busy", "late"])
def test_a_busy_server_leaves_the_count_of_failures(clock: Clock, error: Exception) -> None:
    """503 busy and a late check of the answer neither count as failures nor reset the count."""
    mail = limiter(clock)

    async def ask() -> None:
        await fail(mail, "abcd")
        await enter(mail, "e", error)
        await fail(mail, "f")

    run(ask())
    assert mail.is_open
