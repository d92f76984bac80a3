"""An event loop that somebody blocks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fake_keystone import FakeKeystone
from tests.serving import run, running, write_config
from tests.waiting import wait_until
from vendorsrv.watchdog import Watchdog


def blocked(block: Callable[[], object], name: str | None = None) -> None:
    """Watch a loop on which a task calls a function that blocks."""

    async def task() -> None:
        block()

    async def watch() -> None:
        watchdog = Watchdog()
        watchdog.start()
        await asyncio.create_task(task(), name=name)
        watchdog.stop()

    run(watch())


def wait_for_line(caplog: pytest.LogCaptureFixture) -> Callable[[], object]:
    """Block until the watchdog has complained; it does so from its own thread."""
    return lambda: wait_until(lambda: caplog.messages, 10)


def test_who_blocks_the_loop_is_named_with_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """While it still blocks: afterwards nobody would know."""
    blocked(wait_for_line(caplog), "handler mail")
    (message,) = caplog.messages
    assert message.startswith("handler mail has blocked the event loop for 1.")
    assert " s, and with it every request of this worker: " in message
    assert f"{__file__}:" in message
    assert " in task" in message


def test_one_block_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """However long it lasts."""

    def block() -> None:
        wait_for_line(caplog)()
        began = time.monotonic()
        wait_until(lambda: time.monotonic() > began + 0.8)

    blocked(block)
    assert 1 == len(caplog.messages)


def test_a_block_outside_of_a_task_is_something_s(caplog: pytest.LogCaptureFixture) -> None:
    """A callback has no name."""

    async def watch() -> None:
        watchdog = Watchdog()
        watchdog.start()
        over = asyncio.Event()

        def callback() -> None:
            wait_for_line(caplog)()
            over.set()

        asyncio.get_running_loop().call_soon(callback)
        await over.wait()
        watchdog.stop()

    run(watch())
    assert caplog.messages[0].startswith("something has blocked the event loop for 1.")


def test_a_loop_that_runs_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """And the watchdog ends when it is told to."""

    async def watch() -> None:
        watchdog = Watchdog()
        watchdog.start()
        await asyncio.sleep(0.6)
        watchdog.stop()

    run(watch())
    wait_until(lambda: "watchdog" not in {thread.name for thread in threading.enumerate()})
    assert [] == caplog.messages


def test_a_handler_that_blocks_is_named_by_the_server(
    tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture
) -> None:
    """And the request has its answer when the handler is done."""
    with running(write_config(tmp_path, fake, handlers="tests.handlers.keeping:Scripted")) as server:
        handler = server.app.registry.handlers["scripted"].handler

        async def script(run: int) -> object:
            wait_until(lambda: "blocked the event loop" in caplog.text, 10)
            return run

        handler.script = script  # type: ignore[attr-defined]
        assert b"1" == server.ask("/scripted", fake.issue("service")).content
    (line,) = [message for message in caplog.messages if "blocked" in message]
    assert line.startswith("handler scripted has blocked the event loop for 1.")
    assert "in script" in line
