"""Requests whose client hangs up, or whose server stops, are not in progress for ever."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.scraping import of, samples
from tests.support.serving import BODY, Server, running, write_config
from tests.support.waiting import wait_until
from vendorsrv.telemetry.exposition import expose

HANDLERS = "tests.support.handlers.keeping:Scripted, tests.support.handlers.keeping:Plain"
#: One request at a time in each place, and no limit of time that plays a part.
SECTIONS = "".join(f"[handler:{name}]\nconcurrency = 1\ntimeout = 60\n" for name in ("scripted", "plain"))


class Stage(NamedTuple):
    """A server whose requests go on when the test says so."""

    server: Server
    keystone: FakeKeystone
    go_on: threading.Event

    def in_progress(self) -> dict[str, float]:
        """Return what is in progress, by metric."""
        text = expose(self.server.app.metrics.counts, "")[0].decode()
        return of(samples(text), "requests_in_progress", "handler_runs_in_progress")

    def release(self) -> None:
        """Let all requests go on."""
        self.go_on.set()
        self.keystone.strangers_go_on.set()


@pytest.fixture
def stage(tmp_path: Path, fake: FakeKeystone) -> Iterator[Stage]:
    """A server of the test's own."""
    limits = {"auth_threads": 1, "request_timeout": 60, "auth_timeout": 60, "body_timeout": 60, "shutdown_timeout": 1}
    config = write_config(tmp_path, fake, handlers=HANDLERS, sections=SECTIONS, **limits)  # type: ignore[arg-type]
    go_on = threading.Event()
    with running(config) as server:
        handlers = server.app.registry.handlers

        async def wait(run: int) -> object:
            while not go_on.is_set():  # noqa: ASYNC110 - the test is another thread
                await asyncio.sleep(0.01)
            return run

        handlers["scripted"].handler.script = wait  # type: ignore[attr-defined]
        handlers["plain"].handler.script = lambda run: go_on.wait(60) and run  # type: ignore[attr-defined]
        stage = Stage(server, fake, go_on)
        try:
            yield stage
        finally:
            stage.release()


def request(path: str, token: str, number: int = 0) -> bytes:
    """Return a request of Nova for one of several instances."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY.replace(b"7b5a4a34", b"%08d" % number)


def in_validation(stage: Stage) -> list[bytes]:
    """Two tokens, of which one waits for the validation of the other."""
    stage.keystone.strangers_go_on.clear()
    return [request("/scripted", f"gAAAAAstranger{number}") for number in range(2)]


def in_the_body(stage: Stage) -> list[bytes]:
    """A body that has not come yet, and one of which a part has."""
    whole = request("/scripted", stage.keystone.issue("service"))
    return [whole[: -len(BODY)], whole[:-1]]


def in_the_handler(stage: Stage) -> list[bytes]:
    """A request in the handler, and one in its queue."""
    return [request("/scripted", stage.keystone.issue("service"), number) for number in range(2)]


def in_a_thread(stage: Stage) -> list[bytes]:
    """A request in the thread of a handler, and one in its queue."""
    return [request("/plain", stage.keystone.issue("service"), number) for number in range(2)]


PHASES = (in_validation, in_the_body, in_the_handler, in_a_thread)


def hang_up(connection: socket.socket) -> None:
    """Close a connection as a client does that has gone."""
    connection.close()


def reset(connection: socket.socket) -> None:
    """Close a connection as the system does for a client that was killed with unread data."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("end", [hang_up, reset])
@pytest.mark.parametrize("phase", PHASES)
def test_requests_of_clients_that_hang_up_end(
    stage: Stage, phase: Callable[[Stage], list[bytes]], end: Callable[[socket.socket], None]
) -> None:
    """Requests are in progress no longer when their clients hang up and what they waited for has come."""
    connections = [stage.server.connect() for _ in range(2)]
    for connection, data in zip(connections, phase(stage), strict=True):
        connection.sendall(data)
    wait_until(lambda: 2 == stage.in_progress().get("requests_in_progress"))
    for connection in connections:
        end(connection)
    wait_until(lambda: not stage.server.app.connections.all)
    stage.release()
    wait_until(lambda: {} == stage.in_progress())


@pytest.mark.parametrize("phase", PHASES)
def test_requests_that_a_stop_cancels_end(
    stage: Stage, phase: Callable[[Stage], list[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """Requests that a stopping server cancels after shutdown_timeout are in progress no longer."""
    with ExitStack() as stack:
        for data in phase(stage):
            stack.enter_context(stage.server.connect()).sendall(data)
        wait_until(lambda: 2 == stage.in_progress().get("requests_in_progress"))
        stopping = threading.Thread(target=stage.server.stop)
        stopping.start()
        wait_until(lambda: "Cancel 2 running task(s)" in caplog.text)
        stage.release()
        stopping.join(60)
    assert {} == stage.in_progress()


def test_requests_end_whose_answers_are_not_read(tmp_path: Path, fake: FakeKeystone) -> None:
    """A request ends when its client hangs up before it has read the answer to this one and to the one before."""
    size = 2**25
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Scripted", max_answer_bytes=size)
    with running(config) as server:

        async def answer(run: int) -> object:
            return f"{run}" + "x" * (size - 3)

        handler = server.app.registry.handlers["scripted"].handler
        handler.script = answer  # type: ignore[attr-defined]
        with server.connect() as connection:
            connection.sendall(b"".join(request("/scripted", fake.issue("service"), number) for number in range(2)))
            wait_until(lambda: 2 == handler.runs)  # type: ignore[attr-defined]
        name = 'vendorsrv_requests_total{code="",path="/scripted",status="200"}'
        wait_until(lambda: 2 == samples(expose(server.app.metrics.counts, "")[0].decode()).get(name))
        assert {} == Stage(server, fake, threading.Event()).in_progress()
