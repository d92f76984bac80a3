"""An event loop that somebody blocks."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import run, running, write_config
from tests.support.waiting import wait_until
from vendorsrv.telemetry.watchdog import Watchdog
from vendorsrv.testing.clock import ManualClock


class CountingClock(ManualClock):
    """A clock that is moved by hand, and knows how often each thread looked at it."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: Counter[int] = Counter()

    def __call__(self) -> float:
        """Give the time."""
        self.looks[threading.get_ident()] += 1
        return super().__call__()


def looked_again(watchdog: Watchdog, clock: CountingClock) -> None:
    """Wait until the watchdog's thread has looked at the clock twice more: the first look may have begun before."""
    thread = watchdog.thread.ident or 0
    before = clock.looks[thread]
    wait_until(lambda: clock.looks[thread] >= before + 2)


def blocked(block: Callable[[Watchdog, CountingClock], object], name: str | None = None) -> None:
    """Watch a loop on which a task calls a function that blocks."""
    clock = CountingClock()

    async def task(watchdog: Watchdog) -> None:
        block(watchdog, clock)

    async def watch() -> None:
        watchdog = Watchdog(clock=clock)
        watchdog.start()
        await asyncio.create_task(task(watchdog), name=name)
        watchdog.stop()

    run(watch())


def block_for_a_while(watchdog: Watchdog, clock: CountingClock) -> None:
    """Block for 1.1 seconds, and until the watchdog has seen it from its own thread."""
    clock.advance(1.1)
    looked_again(watchdog, clock)


def test_who_blocks_the_loop_is_named_with_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """While it still blocks: afterwards nobody would know."""
    blocked(block_for_a_while, "handler mail")
    (message,) = caplog.messages
    assert message.startswith("handler mail has blocked the event loop for 1.1 s, and with it every request of this ")
    assert f"{__file__}:" in message
    assert " in block_for_a_while" in message


def test_one_block_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """However long it lasts."""

    def block(watchdog: Watchdog, clock: CountingClock) -> None:
        for _ in range(3):
            block_for_a_while(watchdog, clock)

    blocked(block)
    assert 1 == len(caplog.messages)


def test_a_block_outside_of_a_task_is_something_s(caplog: pytest.LogCaptureFixture) -> None:
    """A callback has no name."""

    async def watch() -> None:
        clock = CountingClock()
        watchdog = Watchdog(clock=clock)
        watchdog.start()
        over = asyncio.Event()

        def callback() -> None:
            block_for_a_while(watchdog, clock)
            over.set()

        asyncio.get_running_loop().call_soon(callback)
        await over.wait()
        watchdog.stop()

    run(watch())
    assert caplog.messages[0].startswith("something has blocked the event loop for 1.1 s")


def test_a_loop_that_runs_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """However long it runs; and the watchdog ends when it is told to."""
    clock = CountingClock()
    watchdog = Watchdog(clock=clock)

    async def watch() -> None:
        watchdog.start()
        for _ in range(3):
            clock.advance(0.9)
            await asyncio.to_thread(looked_again, watchdog, clock)
            await asyncio.to_thread(wait_until, lambda: watchdog.beat_at == clock.now)
        watchdog.stop()

    run(watch())
    wait_until(lambda: not watchdog.thread.is_alive())
    assert [] == caplog.messages


def test_a_handler_that_blocks_is_named_by_the_server(
    tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture
) -> None:
    """And the request has its answer when the handler is done."""
    with running(write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Scripted")) as server:
        handler = server.app.registry.handlers["scripted"].handler

        async def script(run: int) -> object:
            wait_until(lambda: "blocked the event loop" in caplog.text)
            return run

        handler.script = script  # type: ignore[attr-defined]
        assert b"1" == server.ask("/scripted", fake.issue("service")).content
    (line,) = [message for message in caplog.messages if "blocked" in message]
    assert re.match(r"handler scripted has blocked the event loop for [1-9]\d*\.\d s, ", line)
    assert "in script" in line
