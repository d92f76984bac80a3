"""The runner: one handler within its deadline and its threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.support.serving import run
from vendorsrv import HandlerError, UpstreamError, VendordataError, VendordataRequest
from vendorsrv.errors import Busy, HandlerTimeout
from vendorsrv.handlers.runner import Runner
from vendorsrv.telemetry.logs import REQUEST_ID


class Timeout(BaseException):
    """What eventlet raises when its time is over."""


class Gate:
    """A call that runs until the test opens the gate."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.over = threading.Event()

    def handle(self, *_: object) -> str:
        """Wait in a thread."""
        self.begun.release()
        assert self.over.wait(60)
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end of the test in any case."""
    gate = Gate()
    yield gate
    gate.over.set()


def runner(method: Callable[..., Any], timeout: float = 60.0, threads: int = 2) -> Runner:
    """The runner of a handler ``mail``."""
    return Runner("mail", method, timeout, threads, concurrency=2)


async def outcome(asked: Awaitable[Any]) -> object:
    """Say how a call ended: its value, or status and message."""
    try:
        return await asked
    except VendordataError as error:
        return error.status, error.message


def raising(error: BaseException) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A plain and an async method that raise."""

    def plain() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    return plain, coroutine


@pytest.mark.parametrize("kind", [0, 1], ids=["plain", "async"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("planted-secret"),
        SystemExit("planted-secret"),
        KeyboardInterrupt("planted-secret"),
        StopIteration("planted-secret"),
        asyncio.CancelledError("planted-secret"),
        TimeoutError("planted-secret"),
        GeneratorExit("planted-secret"),
        Timeout("planted-secret"),
        ExceptionGroup("planted-secret", [ValueError("planted-secret")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_of_a_handler_is_500_without_its_text(
    error: BaseException, kind: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the class and the place; the text is neither sent nor logged, and the server goes on."""
    called = runner(raising(error)[kind])
    assert (500, "handler mail failed") == run(outcome(called.run(budget=60.0)))
    assert (True, False) == ("handler mail raised " in caplog.text, "planted-secret" in caplog.text)


@pytest.mark.parametrize("kind", [0, 1], ids=["plain", "async"])
@pytest.mark.parametrize("error", [UpstreamError("no address store"), HandlerError("out of addresses")])
def test_an_error_that_a_vendor_raises_keeps_its_status_and_message(error: VendordataError, kind: int) -> None:
    """A VendordataError from a handler is sent as it is."""
    assert (error.status, error.message) == run(outcome(runner(raising(error)[kind]).run(budget=60.0)))


def test_a_method_gets_the_request_and_its_value_is_returned() -> None:
    """On the event loop and in a thread alike."""

    async def coroutine(request: VendordataRequest) -> str:
        return request.instance_id

    request = VendordataRequest("i-1")
    values = [run(runner(method).run(request, budget=60.0)) for method in (coroutine, lambda each: each.instance_id)]
    assert ["i-1", "i-1"] == values


def test_async_methods_run_on_the_event_loop_and_plain_ones_in_threads() -> None:
    """The thread tells the two apart."""

    async def coroutine() -> int:
        return threading.get_ident()

    here = threading.get_ident()
    assert here == run(runner(coroutine).run(budget=60.0))
    assert here != run(runner(threading.get_ident).run(budget=60.0))


def test_a_thread_has_the_request_id() -> None:
    """Log lines of a plain handler have the request's id."""
    REQUEST_ID.set("req-1")
    assert "req-1" == run(runner(REQUEST_ID.get).run(budget=60.0))


@pytest.mark.parametrize(
    ("timeout", "budget", "message"),
    [
        (0.05, 4.0, "handler mail gave no answer within 0.1 seconds"),
        (4.0, 0.05, "handler mail gave no answer within 0.1 seconds"),
        (4.0, 0.0, "handler mail gave no answer within 0.0 seconds"),
        (4.0, -1.0, "handler mail gave no answer within 0.0 seconds"),
    ],
)
def test_the_deadline_is_the_shorter_of_timeout_and_budget(timeout: float, budget: float, message: str) -> None:
    """A run is 504 after the handler's timeout or the rest of the request's time, whichever is shorter."""

    async def sleepy() -> None:
        await asyncio.sleep(60)

    assert (504, message) == run(outcome(runner(sleepy, timeout).run(budget=budget)))


def test_the_deadline_holds_for_a_handler_that_ignores_cancellation() -> None:
    """A method that swallows its cancellation is answered 504 in time; too many of its calls are not begun."""
    over = threading.Event()

    async def stubborn() -> str:
        while not over.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        return "late"

    async def ask() -> list[object]:
        mail = runner(stubborn, timeout=0.05)
        try:
            async with asyncio.timeout(60):
                return [await outcome(mail.run(budget=60.0)) for _ in range(3)]
        finally:
            over.set()  # not before there is an answer

    late = (504, "handler mail gave no answer within 0.1 seconds")
    assert [late, late, (503, "calls of handler mail go on beyond their deadline")] == run(ask())


def test_a_failure_after_the_deadline_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The event loop does not log an exception that was never retrieved."""

    async def late() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("planted-secret") from None

    assert (504, "handler mail gave no answer within 0.1 seconds") == run(outcome(runner(late, 0.05).run(budget=60.0)))
    assert "" == caplog.text


def test_threads_that_overran_their_deadline_are_busy(gate: Gate) -> None:
    """A third call is refused at once while two threads hang."""
    called = runner(gate.handle, timeout=0.05)

    async def ask() -> list[object]:
        return [await outcome(called.run(budget=60.0)) for _ in range(3)]

    late = (504, "handler mail gave no answer within 0.1 seconds")
    assert [late, late, (503, "all threads of handler mail are busy")] == run(ask_and_open(ask(), gate))


async def ask_and_open(asked: Awaitable[list[object]], gate: Gate) -> list[object]:
    """Open the gate on the loop that the calls run on, which otherwise waits for their threads at its end."""
    outcomes = await asked
    gate.over.set()
    return outcomes


def test_a_thread_is_free_when_its_call_returns(gate: Gate) -> None:
    """A thread whose request was given up is busy until its call returns."""
    called = runner(gate.handle, threads=1)

    async def ask() -> list[object]:
        first = await outcome(called.run(budget=0.05))
        refused = await outcome(called.run(budget=60.0))
        gate.over.set()
        async with asyncio.timeout(60):
            while called.threads.busy:  # noqa: ASYNC110 - the thread's end is no event
                await asyncio.sleep(0.01)
        return [first, refused, await outcome(called.run(budget=60.0))]

    late = (504, "handler mail gave no answer within 0.1 seconds")
    assert [late, (503, "all threads of handler mail are busy"), "done"] == run(ask())


def test_calls_run_concurrently_up_to_the_number_of_threads(gate: Gate) -> None:
    """Two calls run, the third is refused, and both return."""
    called = runner(gate.handle)

    async def ask() -> list[object]:
        tasks = [asyncio.create_task(outcome(called.run(budget=60.0))) for _ in range(2)]
        await asyncio.to_thread(lambda: [gate.begun.acquire(timeout=60) for _ in range(2)])
        refused = await outcome(called.run(budget=60.0))
        gate.over.set()
        return [refused, *await asyncio.gather(*tasks)]

    assert [(503, "all threads of handler mail are busy"), "done", "done"] == run(ask())


@pytest.mark.parametrize("budget", [0.0, -1.0, 1e-9, 1e-5])
def test_a_call_without_time_leaves_no_thread_busy(budget: float) -> None:
    """Calls whose budget is used up when they begin leave no thread busy."""
    called = runner(lambda: None, threads=1)

    async def ask() -> int:
        for _ in range(50):
            await outcome(called.run(budget=budget))
        async with asyncio.timeout(60):
            while called.threads.busy:  # noqa: ASYNC110 - the thread's end is no event
                await asyncio.sleep(0.01)
        return called.threads.busy

    assert 0 == run(ask())


def test_a_cancelled_request_cancels_its_handler() -> None:
    """A handler is cancelled with the task that runs it."""

    async def ask() -> list[str]:
        begun = asyncio.Event()
        told = []

        async def waiting() -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                told.append("cancelled")

        task = asyncio.create_task(runner(waiting).run(budget=60.0))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        return told

    assert ["cancelled"] == run(ask())


def test_busy_has_retry_after() -> None:
    """503 has ``Retry-After``, 504 does not."""
    assert ({"Retry-After": "1"}, {}) == (Busy.headers, HandlerTimeout.headers)
