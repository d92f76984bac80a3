"""A run that goes on after its deadline: its claim is kept, and once that is lost, the run changes nothing more."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from oslo_config import cfg

from tests.support.pin_stores import age, execute, make_table, with_store
from tests.support.waiting import wait_until
from vendorsrv import Handler, VendordataRequest
from vendorsrv.answer import HandlerAnswer
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.testing import FakeCloud, FakeUpstream, Received, Reply, Server, serve

I = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"  # noqa: E741 - the instance
LOST = "this run of handler enrolment has lost its claim of the instance"


class Enrolment(Handler):
    """Sets a password in a directory, and its first run hangs before."""

    pin = True
    timeout = 0.2
    directory: ClassVar[list[str]] = []
    errors: ClassVar[list[str]] = []
    runs: ClassVar[list[int]] = []
    go_on: ClassVar[threading.Event]

    def handle(self, request: VendordataRequest) -> Any:
        """Set it if the claim is still ours."""
        self.runs.append(1)
        number = len(self.runs)
        if number == 1:
            self.go_on.wait(60)
        try:
            request.still_ours()
            self.directory.append(f"password {number}")
        except PinsUnavailable as error:
            self.errors.append(error.message)
            raise
        return {"password": number}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the handler."""
    for each in (Enrolment.directory, Enrolment.errors, Enrolment.runs):
        each.clear()
    Enrolment.go_on = threading.Event()
    with serve(Enrolment, directory=tmp_path) as made:
        yield made
        Enrolment.go_on.set()


def with_pins(folder: Path, **times: float) -> None:
    """Change the times of the claim."""
    with_store(f"sqlite:///{folder}/pins.db", lambda store: age(store, I, "enrolment", **times))


def rows(folder: Path) -> list[tuple[object, ...]]:
    """Return which rows have an answer."""
    statement = "SELECT answer IS NOT NULL FROM pins"
    return with_store(f"sqlite:///{folder}/pins.db", lambda store: execute(store.database, statement))


def test_a_run_that_lost_its_claim_changes_nothing(server: Server, tmp_path: Path) -> None:
    """After another run has been pinned, the first one ends at its next use of the framework: the directory agrees."""
    assert (504, "handler_timeout") == ((slow := server.ask()).status, slow.code)
    with_pins(tmp_path, claimed_at=1.0)  # its lease is over
    assert {"password": 2} == server.ask().json
    Enrolment.go_on.set()
    wait_until(lambda: bool(Enrolment.errors))
    assert ([LOST], ["password 2"]) == (Enrolment.errors, Enrolment.directory)
    assert {"password": 2} == server.ask().json


def test_the_claim_is_kept_while_the_thread_goes_on(server: Server, tmp_path: Path) -> None:
    """While the thread of a run that is over goes on, no other run begins; when it has ended, the next one does."""
    server.ask()
    busy = server.ask()
    assert (503, "another worker is still running handler enrolment for this instance") == (busy.status, busy.message)
    assert [(0,)] == rows(tmp_path)
    Enrolment.go_on.set()
    wait_until(lambda: [] == rows(tmp_path))
    assert ({"password": 2}, ["password 1", "password 2"]) == (server.ask().json, Enrolment.directory)


def test_a_run_whose_pin_was_forgotten_changes_nothing(server: Server, tmp_path: Path) -> None:
    """A claim that was forgotten, as by `vendorsrv pins forget`, is lost."""
    server.ask()
    with_store(f"sqlite:///{tmp_path}/pins.db", lambda store: store.forget([(I, "enrolment")]))
    Enrolment.go_on.set()
    wait_until(lambda: bool(Enrolment.errors))
    assert ([LOST], []) == (Enrolment.errors, Enrolment.directory)


def test_a_run_that_cannot_ask_the_database_changes_nothing(server: Server) -> None:
    """While the database is unavailable, a run does not know whether it has its claim."""
    server.ask()
    server.pins.behaviour = "unavailable"
    Enrolment.go_on.set()
    wait_until(lambda: bool(Enrolment.errors))
    server.pins.release()
    assert (["the pin store does not answer (OSError)"], []) == (Enrolment.errors, Enrolment.directory)


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize(("lease", "expected"), [(60.0, None), (0.0, LOST)])
def test_an_expired_claim_is_lost(tmp_path: Path, lease: float, expected: str | None, in_thread: bool) -> None:
    """On the event loop and in a thread a run has its claim for as long as the lease."""
    make_table(url := f"sqlite:///{tmp_path}/pins.db")
    request = VendordataRequest(I)

    async def create() -> HandlerAnswer:
        if in_thread:
            await asyncio.to_thread(request.still_ours)
        else:
            request.still_ours()
        return HandlerAnswer(b"{}")

    async def work(store: PinStore) -> str | None:
        pins = Pins(store, PinCipher([]), lease)
        try:
            await pins.get_or_create(I, "enrolment", create, time.monotonic() + 10)
        except PinsUnavailable as error:
            return error.message
        return None

    assert expected == with_store(url, work)


def test_a_handler_that_pins_nothing_claims_nothing() -> None:
    """Outside of a run that is pinned, nothing is lost."""
    VendordataRequest(I).still_ours()


class OverHttp(Enrolment):
    """Sets the password in a directory over HTTP; its first run hangs before."""

    timeout = 2.0
    options = (cfg.StrOpt("url", required=True, help="The directory."),)

    def handle(self, request: VendordataRequest) -> Any:
        """Set it."""
        self.runs.append(1)
        number = len(self.runs)
        if number == 1:
            self.go_on.wait(60)
        try:
            self.send(f"password {number}")
        except PinsUnavailable as error:
            self.errors.append(error.message)
            raise
        return {"password": number}

    def send(self, password: str) -> None:
        """Send it."""
        self.http.post(self.settings.url, content=password)


class OverSession(OverHttp):
    """Sets it by the account's session."""

    def send(self, password: str) -> None:
        """Send it."""
        self.openstack.post("/passwords", endpoint_filter={"service_type": "compute"}, data=password)


@pytest.mark.parametrize("handler", [OverHttp, OverSession])
def test_a_run_that_lost_its_claim_sends_nothing(handler: type[Enrolment], tmp_path: Path) -> None:
    """The framework's clients ask by themselves: the directory has the password of the instance."""
    for each in (Enrolment.errors, Enrolment.runs):
        each.clear()
    Enrolment.go_on = threading.Event()
    with FakeCloud() as cloud, FakeUpstream() as directory:
        sent = directory.received

        def keep(received: Received) -> Reply:
            sent.append(received)
            return Reply()

        cloud.routes["POST /compute/v2.1/passwords"] = keep
        with serve(handler, directory=tmp_path, facts=cloud, options={"url": directory.url}) as server:
            assert 504 == server.ask().status
            with_store(f"sqlite:///{tmp_path}/pins.db", lambda store: age(store, I, handler.name, claimed_at=1.0))
            assert {"password": 2} == server.ask().json
            Enrolment.go_on.set()
            wait_until(lambda: bool(Enrolment.errors))
    lost = f"this run of handler {handler.name} has lost its claim of the instance"
    assert ([lost], [b"password 2"]) == (Enrolment.errors, [each.body for each in sent])
