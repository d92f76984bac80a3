"""What a handler does every so many seconds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.waiting import wait_until
from vendorsrv import ConfigError, Handler, NotYet, ServiceUnavailable, VendordataRequest
from vendorsrv.testing import serve


class Inventory(Handler):
    """Read something again and again, as a test says."""

    seconds = 3600.0
    once = False
    calls = 0
    raised: BaseException | None = None

    async def open(self) -> None:
        """Begin to read."""
        self.every(self.seconds, self.refresh, once_per_cluster=self.once)

    async def refresh(self) -> None:
        """Count the calls."""
        type(self).calls += 1
        if self.raised:
            raise self.raised

    def handle(self, request: VendordataRequest) -> int:
        """Return how many there were."""
        return self.calls


class Plain(Inventory):
    """Read in a thread."""

    def refresh(self) -> None:  # type: ignore[override]
        """Count the calls outside of the event loop."""
        type(self).calls += threading.current_thread() is not threading.main_thread()
        if self.raised:
            raise self.raised


def new(base: type[Inventory] = Inventory, **attributes: Any) -> Any:
    """Return a handler with a count of its own."""
    return type("Inventory", (base,), {"calls": 0, **attributes})


def shown(server: Any) -> object:
    """Return what `/-/ready` has of the handler's jobs."""
    answer = server.get("/-/ready")
    assert 200 == answer.status
    return answer.json["handlers"]["inventory"]["every"]


@pytest.mark.parametrize("base", [Inventory, Plain])
def test_a_method_is_called_at_once_and_again(base: type[Inventory]) -> None:
    """Every 10 ms a method of either kind is called, and `/-/ready` shows it."""
    handler = new(base, seconds=0.01)
    with serve(handler) as server:
        wait_until(lambda: handler.calls > 3)
        assert {"refresh": "ok"} == shown(server)


def test_a_method_is_not_called_after_the_server_has_stopped() -> None:
    """The calls end before the handler is closed."""
    handler = new(seconds=0.001)

    async def close(self: Any) -> None:
        type(self).at_the_end = self.calls

    handler.close = close
    with serve(handler):
        wait_until(lambda: handler.calls > 3)
    assert handler.at_the_end == handler.calls


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (ValueError("planted-secret"), "handler inventory failed"),
        (SystemExit(3), "handler inventory failed"),
        (ServiceUnavailable("the inventory is gone"), "the inventory is gone"),
        (NotYet(), "NotYet"),
    ],
)
@pytest.mark.parametrize("base", [Inventory, Plain])
def test_a_call_that_fails_is_repeated_after_a_pause(
    base: type[Inventory], raised: BaseException, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure is logged without an exception's text and shown; the pause doubles, and the next success ends it."""
    caplog.set_level("INFO", "vendorsrv.handlers.periodic")
    handler = new(base, raised=raised)
    with serve(handler) as server:
        wait_until(lambda: "next call" in caplog.text)
        assert ({"inventory": {"refresh": "failing"}}, {"refresh": "failing"}) == (server.run_jobs(), shown(server))
        handler.raised = None
        assert {"inventory": {"refresh": "ok"}} == server.run_jobs()
    lines = [record.message for record in caplog.records if record.name == "vendorsrv.handlers.periodic"]
    failed = f"handler inventory: refresh failed ({reason}); next call in"
    assert [f"{failed} 1 s", f"{failed} 2 s", "handler inventory: refresh succeeded"] == [*lines[:2], lines[-1]]
    assert "planted-secret" not in caplog.text


def test_a_failed_call_is_repeated_by_itself() -> None:
    """A call that failed is repeated no later than the next one is due."""
    handler = new(seconds=0.01, raised=ValueError())
    with serve(handler):
        wait_until(lambda: handler.calls > 3)


def test_a_call_that_takes_too_long_fails() -> None:
    """A call may take as long as there is between two."""

    async def refresh(self: Any) -> None:
        await asyncio.sleep(60)

    with serve(new(seconds=0.01, refresh=refresh)) as server:
        wait_until(lambda: shown(server) == {"refresh": "failing"})


def test_a_call_that_goes_on_holds_up_the_end_for_a_while() -> None:
    """A coroutine that swallows its cancellation may end what it does before the handler is closed."""
    events: list[str] = []

    async def refresh(self: Any) -> None:
        events.append("begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            events.append("ended")

    async def close(self: Any) -> None:
        events.append("closed")

    with serve(new(refresh=refresh, close=close)):
        wait_until(lambda: bool(events))
    assert ["begun", "ended", "closed"] == events


def calling(*arguments: Any) -> Callable[[Any], Awaitable[None]]:
    """Return an open() that calls every() with these arguments, where "refresh" stands for the method."""

    async def open_(self: Any) -> None:
        for seconds, method in arguments:
            self.every(seconds, self.refresh if method == "refresh" else method)

    return open_


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([(0, "refresh")], "every: seconds is 0; it must be more than 0 seconds"),
        ([("60", "refresh")], "every: seconds is '60'; it must be more than 0 seconds"),
        ([(float("inf"), "refresh")], "every: seconds is inf; it must be more than 0 seconds"),
        ([(60, "refresh"), (30, "refresh")], "every: refresh is given twice"),
        ([(60, "no")], "every: it takes a method of the handler"),
        ([(60, lambda: None)], "every: it takes a method of the handler"),
    ],
)
def test_a_job_that_cannot_be_done_stops_the_start(arguments: list[Any], problem: str) -> None:
    """Wrong arguments of every() are a mistake that stops the start."""
    with pytest.raises(ConfigError, match=problem), serve(new(open=calling(*arguments))):
        pass


def test_a_job_that_comes_too_late_is_an_error() -> None:
    """every() can be called in open() only: later it would not be heard."""

    async def handle(self: Any, request: VendordataRequest) -> None:
        with pytest.raises(ValueError, match=r"^every: refresh must be given in open\(\)$"):
            self.every(60, self.refresh)

    with serve(new(handle=handle)) as server:
        assert 200 == server.ask().status


def test_one_worker_of_the_cluster_has_the_turn(tmp_path: Any) -> None:
    """Three servers with one database call a method once, when the first starts; each shows it."""
    handler = new(once=True)
    with (
        serve(handler, directory=tmp_path) as first,
        serve(handler, directory=tmp_path) as second,
        serve(handler, directory=tmp_path) as third,
    ):
        wait_until(lambda: [{"refresh": "ok"}] * 3 == [shown(each) for each in (first, second, third)])
        assert 1 == handler.calls


def test_a_turn_that_failed_is_taken_again(tmp_path: Any) -> None:
    """A call that fails gives its turn back: the next worker that starts takes it at once."""
    handler = new(once=True, raised=ServiceUnavailable("later"), pin=True)
    with serve(handler, directory=tmp_path) as first:
        wait_until(lambda: shown(first) == {"refresh": "failing"})
        handler.raised = None
        with serve(handler, directory=tmp_path) as second:
            wait_until(lambda: shown(second) == {"refresh": "ok"})
    assert 2 <= handler.calls


def test_without_the_database_nobody_has_the_turn() -> None:
    """While the database is unavailable the method is not called, `/-/ready` says failing, and stays 200."""
    handler = new(once=True, seconds=0.01)
    with serve(handler) as server:
        wait_until(lambda: shown(server) == {"refresh": "ok"})
        server.pins.behaviour = "unavailable"
        wait_until(lambda: shown(server) == {"refresh": "failing"})
        server.pins.behaviour = "available"
        wait_until(lambda: shown(server) == {"refresh": "ok"})
