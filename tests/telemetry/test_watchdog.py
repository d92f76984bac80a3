"""The watchdog: a blocked event loop is logged with the task and the place that block it."""

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
    """A manual clock that counts how often each thread reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[int] = Counter()

    def __call__(self) -> float:
        """Return the time."""
        self.reads[threading.get_ident()] += 1
        return super().__call__()


def wait_for_read(watchdog: Watchdog, clock: CountingClock) -> None:
    """Wait until the watchdog has read the clock twice: the first read may have begun before this call."""
    thread = watchdog.thread.ident or 0
    before = clock.reads[thread]
    wait_until(lambda: clock.reads[thread] >= before + 2)


def blocked(block: Callable[[Watchdog, CountingClock], object], name: str | None = None) -> None:
    """Run a task that calls a blocking function, and watch its loop."""
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
    """Advance the clock by 1.1 seconds, and block until the watchdog has read it."""
    clock.advance(1.1)
    wait_for_read(watchdog, clock)


def test_the_blocking_task_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """A task that blocks the loop for more than a second is logged with its name and stack."""
    blocked(block_for_a_while, "handler mail")
    (message,) = caplog.messages
    assert message.startswith("handler mail has blocked the event loop of this worker for 1.1 s: ")
    assert f"{__file__}:" in message
    assert " in block_for_a_while" in message


def test_a_block_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A block is logged once, however long it lasts."""

    def block(watchdog: Watchdog, clock: CountingClock) -> None:
        for _ in range(3):
            block_for_a_while(watchdog, clock)

    blocked(block)
    assert 1 == len(caplog.messages)


def test_a_block_outside_a_task_is_a_callback_s(caplog: pytest.LogCaptureFixture) -> None:
    """A block by code that runs in no task is logged as that of a callback."""

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
    assert caplog.messages[0].startswith("a callback has blocked the event loop of this worker for 1.1 s: ")


def test_a_responsive_loop_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A loop whose heartbeats arrive in time is not logged, and stop() ends the watchdog's thread."""
    clock = CountingClock()
    watchdog = Watchdog(clock=clock)

    async def watch() -> None:
        watchdog.start()
        for _ in range(3):
            clock.advance(0.9)
            await asyncio.to_thread(wait_for_read, watchdog, clock)
            await asyncio.to_thread(wait_until, lambda: watchdog.beat_at == clock.now)
        watchdog.stop()

    run(watch())
    wait_until(lambda: not watchdog.thread.is_alive())
    assert [] == caplog.messages


def test_the_server_logs_a_handler_that_blocks(
    tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture
) -> None:
    """The server logs the name of a handler that blocks, and its request is still answered."""
    with running(write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Scripted")) as server:
        handler = server.app.registry.handlers["scripted"].handler

        async def script(run: int) -> object:
            wait_until(lambda: "blocked the event loop" in caplog.text)
            return run

        handler.script = script  # type: ignore[attr-defined]
        assert b"1" == server.ask("/scripted", fake.issue("service")).content
    (line,) = [message for message in caplog.messages if "blocked" in message]
    assert re.match(r"handler scripted has blocked the event loop of this worker for [1-9]\d*\.\d s: ", line)
    assert "in script" in line
