"""Handlers that misbehave: Nova gets one error for each request, and the server goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Clock
from tests.support.serving import BODY, Server, error_of, running, section, write_config
from tests.support.waiting import wait_until

HANDLERS = ", ".join(f"tests.support.handlers.keeping:{name}" for name in ("Scripted", "Plain", "Empty"))


class Theatre(NamedTuple):
    """A server whose handlers do what the test wants."""

    server: Server
    token: str

    def script(self, name: str, value: Callable[[int], Any]) -> None:
        """Let a handler do this."""
        self.server.app.registry.handlers[name].handler.script = value  # type: ignore[attr-defined]

    def ask(self, path: str, body: bytes = BODY) -> httpx.Response:
        """Ask as Nova does."""
        return self.server.ask(path, self.token, body)


@contextmanager
def playing(directory: Path, fake: FakeKeystone, clock: Clock, timeout: float) -> Iterator[Theatre]:
    """Serve handlers that have little room."""
    limits = {"timeout": timeout, "concurrency": 2, "queue": 1}
    sections = section("handler:scripted", limits) + section("handler:plain", {**limits, "threads": 2})
    options = {"handlers": HANDLERS, "sections": sections, "request_timeout": 60}
    with running(write_config(directory, fake, **options), clock) as server:  # type: ignore[arg-type]
        yield Theatre(server, fake.issue("service"))


@pytest.fixture
def theatre(tmp_path: Path, fake: FakeKeystone, clock: Clock) -> Iterator[Theatre]:
    """A server of the test's own, whose handlers have all the time that they want."""
    with playing(tmp_path, fake, clock, timeout=50) as theatre:
        yield theatre


@pytest.fixture
def hasty(tmp_path: Path, fake: FakeKeystone, clock: Clock) -> Iterator[Theatre]:
    """A server of the test's own, whose handlers have little time."""
    with playing(tmp_path, fake, clock, timeout=0.3) as theatre:
        yield theatre


def instance(number: int) -> bytes:
    """The body of another instance."""
    return BODY.replace(b"7b5a4a34", b"%08d" % number)


async def coroutine() -> None:
    """Never awaited."""


ANSWERS: dict[str, tuple[Callable[[], object], str]] = {
    "a generator": (lambda: (number for number in range(3)), "is of type generator, which is not JSON"),
    "11 MB": (lambda: "x" * 11_000_000, "has 11000002 bytes; 1048576 are allowed"),
    "NaN": (lambda: {"load": float("nan")}, "load is not a finite number"),
    "bytes": (lambda: {"key": b"x"}, "key is of type bytes, which is not JSON"),
    "a coroutine": (coroutine, "is of type coroutine, which is not JSON"),
}


@pytest.mark.parametrize("name", ["scripted", "plain"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_not_json_is_an_error_that_names_the_place(theatre: Theatre, name: str, answer: str) -> None:
    """From an async and from a plain handler alike."""
    value, message = ANSWERS[answer]

    async def give(_: int) -> object:
        return value()

    theatre.script(name, give if name == "scripted" else lambda _: value())
    assert (500, "bad_answer", f"the answer of handler {name} {message}") == error_of(theatre.ask(f"/{name}"))


@pytest.mark.parametrize("name", ["scripted", "plain"])
def test_a_handler_that_hangs_is_504_at_its_deadline(hasty: Theatre, name: str) -> None:
    """Other handlers are answered meanwhile."""
    over = threading.Event()

    async def hang(_: int) -> None:
        await asyncio.sleep(60)

    hasty.script(name, hang if name == "scripted" else lambda _: over.wait(60))
    message = f"handler {name} gave no answer within 0.3 seconds"
    assert (504, "handler_timeout", message) == error_of(hasty.ask(f"/{name}"))
    assert 200 == hasty.ask("/empty").status_code
    over.set()


def test_a_full_queue_is_answered_503_with_retry_after(theatre: Theatre) -> None:
    """With two running and one in the queue, five more requests are refused at once."""
    over = threading.Event()

    async def slowly(run: int) -> int:
        await asyncio.to_thread(over.wait, 60)
        return run

    theatre.script("scripted", slowly)
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(theatre.ask, "/scripted", instance(number)) for number in range(8)]
        refused = [each.result() for each in islice(as_completed(asking, 60), 5)]
        over.set()
    assert {(503, "busy", "the concurrency limit and the queue of handler scripted are full")} == {
        error_of(response) for response in refused
    }
    assert {"1"} == {response.headers["Retry-After"] for response in refused}
    assert 3 == sum(each.result().status_code == 200 for each in asking)


def test_ready_shows_an_open_circuit(theatre: Theatre, clock: Clock) -> None:
    """After exceptions in five projects requests are 503 circuit_open until a success, and ``/-/ready`` shows it."""

    async def fail(_: int) -> None:
        raise ValueError("planted-secret")

    async def work(run: int) -> int:
        return run

    def state() -> str:
        return str(theatre.server.client.get("/-/ready").json()["handlers"]["scripted"]["state"])

    theatre.script("scripted", fail)
    states = [state()]
    bodies = [instance(number).replace(b"1f2e", b"%d" % number) for number in range(6)]
    codes = [error_of(theatre.ask("/scripted", body))[1] for body in bodies]
    states.append(state())
    clock.now += 10.0
    theatre.script("scripted", work)
    assert 200 == theatre.ask("/scripted").status_code
    assert [*["handler_failed"] * 5, "circuit_open"] == codes
    assert ["ok", "circuit_open", "ok"] == [*states, state()]


def test_a_fan_out_fails_with_a_handler_without_fallback(theatre: Theatre) -> None:
    """``POST /`` names the handler that failed; a handler with ``on_error = empty`` contributes ``{}``."""

    async def fail(_: int) -> None:
        raise ValueError("planted-secret")

    theatre.script("empty", fail)
    assert b'{"scripted":{"run":1},"plain":{"run":1},"empty":{}}' == theatre.ask("/").content
    theatre.script("scripted", fail)
    assert (500, "handler_failed", "handler scripted failed") == error_of(theatre.ask("/"))


def test_a_thread_that_hangs_is_busy_until_its_call_returns(hasty: Theatre) -> None:
    """Calls are refused while all threads hang, and served afterwards."""
    over = threading.Event()
    hasty.script("plain", lambda run: over.wait(60) or run)
    codes = [error_of(hasty.ask("/plain", instance(number)))[1] for number in range(3)]
    assert ["handler_timeout", "handler_timeout", "busy"] == codes
    over.set()
    wait_until(lambda: hasty.ask("/plain").status_code == 200)


def test_a_coroutine_that_goes_on_keeps_its_slot(hasty: Theatre) -> None:
    """Calls that swallow their cancellation count until they end: one more waits, the next is refused."""
    over = threading.Event()

    async def go_on(run: int) -> int:
        while not over.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return run

    hasty.script("scripted", go_on)
    limiter = hasty.server.app.responders["scripted"].limiter
    codes = [error_of(hasty.ask("/scripted", instance(number)))[1] for number in range(2)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hasty.ask, "/scripted", instance(2))
        wait_until(lambda: limiter.waiting)
        codes.append(error_of(hasty.ask("/scripted", instance(3)))[1])
        over.set()
        assert 200 == waiting.result().status_code
    assert ["handler_timeout", "handler_timeout", "busy"] == codes
    assert 3 == hasty.server.app.registry.handlers["scripted"].handler.runs  # type: ignore[attr-defined]


def planted() -> Any:
    """A state() that fails."""
    raise ValueError("planted-secret")


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (planted, "ValueError"),
        (lambda: None, "TypeError"),
        (lambda: {"since": object()}, "TypeError"),
        (lambda: {"load": float("nan")}, "ValueError"),
        (lambda: {"name": "\ud800"}, "UnicodeEncodeError"),
    ],
)
def test_a_state_that_fails_is_that_handler_s_error(
    theatre: Theatre, caplog: pytest.LogCaptureFixture, state: Callable[[], Any], error: str
) -> None:
    """A state() that raises or returns no JSON object is shown and logged with its handler, and the server is ready."""
    theatre.server.app.registry.handlers["scripted"].handler.state = state  # type: ignore[method-assign]
    response = theatre.server.client.get("/-/ready")
    assert 200 == response.status_code
    assert {"state": "error", "error": error} == response.json()["handlers"]["scripted"]
    assert f"handler scripted: state() raised {error} (" in caplog.text
    assert "planted-secret" not in caplog.text
