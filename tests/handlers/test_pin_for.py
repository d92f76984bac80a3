"""How long what is pinned is kept: answers and preparation expire together, and a handler can forget them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.handlers.enrolment import INSTANCE, Enrolment, Plain, Token, expire, message, rows
from vendorsrv import VendordataRequest
from vendorsrv.testing import serve


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    """Forget the runs of the test before."""
    Enrolment.runs.clear()
    Plain.runs.clear()


def test_answers_and_preparation_expire_together(tmp_path: Path) -> None:
    """An answer expires with the preparation that it was made with, however late it was made."""
    with serve(Token, directory=tmp_path) as server:
        server.ask()
        expire(tmp_path, "token:prepare", expires_at=4_000_000_000.0)
        server.ask("/cloud-init")
    times = rows(tmp_path, "handler, expires_at")
    assert [("token:cloud-init", 4_000_000_000.0), ("token:prepare", 4_000_000_000.0)] == times[1:]
    assert abs(float(str(times[0][1])) - time.time() - 300.0) < 60


def test_what_has_expired_is_made_anew(tmp_path: Path) -> None:
    """After its time an answer is that of a new preparation, and the old one is used no more."""
    with serve(Token, directory=tmp_path) as server:
        assert [{"number": 1}] * 2 == [server.ask().json, server.ask().json]
        for name in ("token", "token:prepare"):
            expire(tmp_path, name)
        assert [{"number": 3}] * 2 == [server.ask().json, server.ask().json]
        assert "number 3" == message(server.ask("/cloud-init"))


def test_an_answer_without_preparation_expires(tmp_path: Path) -> None:
    """`pin_for` alone keeps an answer for so many seconds."""
    with serve(Plain, directory=tmp_path) as server:
        assert [1, 1] == [server.ask().json, server.ask().json]
        ((expires_at,),) = rows(tmp_path, "expires_at")
        expire(tmp_path, "plain")
        assert [2, 2] == [server.ask().json, server.ask().json]
    assert abs(float(str(expires_at)) - time.time() - 300.0) < 60


def test_the_operator_sets_how_long_what_is_prepared_is_kept(tmp_path: Path) -> None:
    """`pin_for` in the handler's section overrides the class."""
    with serve(Token, options={"pin_for": 0}, directory=tmp_path) as server:
        server.ask()
    assert [("token", None), ("token:prepare", None)] == rows(tmp_path, "handler, expires_at")


def test_each_pin_has_its_project(tmp_path: Path) -> None:
    """The project is stored with the answers and the preparation; an id that no Keystone gives is not."""
    with serve(Enrolment, directory=tmp_path) as server:
        server.ask(project_id="0b9d")
        server.ask(instance_id="9b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", project_id="\x00")
    assert [("0b9d",), (None,), ("0b9d",), (None,)] == rows(tmp_path, "project_id")


def test_a_handler_forgets_an_instance(tmp_path: Path) -> None:
    """`forget` from code makes the next request prepare again, and leaves other instances and handlers alone."""

    class Forgetting(Enrolment):
        """Forgets when its public route is asked."""

        name = "enrolment"
        routes: ClassVar[dict[str, str]] = {"forget": "forget_it"}

        async def forget_it(self) -> str:
            """Forget the usual instance."""
            await self.forget(INSTANCE)
            return "forgotten"

    other = "9b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
    with serve(Forgetting, Plain, directory=tmp_path) as server:
        for path in ("/enrolment", "/cloud-init", "/plain"):
            server.ask(path)
        server.ask("/enrolment", instance_id=other)
        assert "forgotten" == server.get("/enrolment/forget").json
        assert [(other, "enrolment"), (INSTANCE, "plain"), (other, "enrolment:prepare")] == sorted(
            rows(tmp_path, "instance_id, handler"), key=lambda row: (row[1] != "enrolment", row[1] != "plain")
        )
        assert {"number": 6} == server.ask("/enrolment").json


def test_a_handler_that_is_forgotten_while_it_runs_ends(tmp_path: Path) -> None:
    """A handler that forgets its own instance in each run is an error at the request's deadline, and runs no more."""

    class Restless(Enrolment):
        """Forgets what it makes."""

        name = "enrolment"

        async def handle(self, request: VendordataRequest) -> Any:
            """Forget."""
            self.runs.append("handle")
            await asyncio.sleep(0.05)
            await self.forget(request.instance_id)

    with serve(Restless, sections={"vendorsrv": {"request_timeout": 1.0, "auth_timeout": 0.5}}) as server:
        answer = server.ask()
        server.portal.call(asyncio.sleep, 0.3)
        runs = len(Enrolment.runs)
        server.portal.call(asyncio.sleep, 0.3)
        assert runs == len(Enrolment.runs)
    assert (503, "pins_unavailable") == (answer.status, answer.code)
