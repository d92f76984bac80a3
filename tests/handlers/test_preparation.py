"""What a handler prepares: made once for an instance, given to both methods, and kept as long as its answers."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.handlers.enrolment import INSTANCE, Enrolment, Plain, message
from vendorsrv import CloudConfig, ConfigError, Handler, NotYet, OnError, ServiceUnavailable, VendordataRequest
from vendorsrv.testing import serve


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    """Forget the runs of the test before."""
    Enrolment.runs.clear()
    Plain.runs.clear()


def test_one_preparation_is_in_both_answers() -> None:
    """All of Nova's calls for one instance get what one run prepared, and another instance something else."""
    with serve(Enrolment) as server:
        asked = [*server.config_drive(), *server.config_drive("/cloud-init"), *server.config_drive("/")]
        other = server.ask(instance_id="9b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d")
    assert ["number 1"] * 6 == [message(each) for each in asked[6:12]]
    assert [{"number": 1}] * 6 + [{"enrolment": {"number": 1}}] * 6 == [each.json for each in asked[:6] + asked[12:]]
    assert {"number": 4} == other.json
    assert ["prepare", "handle", "cloud_init", "prepare", "handle"] == Enrolment.runs


def test_requests_at_once_share_the_preparation() -> None:
    """Requests for both methods that arrive while the preparation runs wait for it."""

    class Slow(Enrolment):
        """Prepares until both methods have begun to wait."""

        name = "enrolment"

        async def number(self, run: int) -> Any:
            """Wait a little."""
            await asyncio.sleep(0.2)
            return {"number": run}

    with serve(Slow) as server, ThreadPoolExecutor() as threads:
        answers = list(threads.map(server.ask, ("/enrolment", "/cloud-init", "/") * 4))
    assert 3 == len({each.body for each in answers})
    assert 1 == Enrolment.runs.count("prepare")


def test_each_method_gets_json_of_its_own() -> None:
    """What a method does to its preparation does not change that of the other; tuples have become lists."""

    class Changing(Enrolment):
        """Changes what it gets."""

        name = "enrolment"

        async def number(self, run: int) -> Any:
            """Return a tuple."""
            return {"number": (run, 2)}

        async def handle(self, request: VendordataRequest) -> Any:
            """Change the list."""
            request.prepared["number"].append(3)
            return request.prepared

    with serve(Changing) as server:
        first, second = server.ask(), server.ask("/cloud-init")
    assert {"number": [1, 2, 3]} == first.json
    assert "number [1, 2]" == message(second)


def test_an_answer_that_is_pinned_needs_no_preparation(tmp_path: Path) -> None:
    """An answer that was pinned before the handler had `prepare` is returned; the other method's is prepared."""

    class Before(Handler):
        """The handler of the version before."""

        name = "enrolment"
        pin = True

        async def handle(self, request: VendordataRequest) -> str:
            """Return what was no preparation."""
            return "before"

    with serve(Before, directory=tmp_path) as server:
        server.ask()
    with serve(Enrolment, directory=tmp_path) as server:
        assert ["before", "before"] == [server.ask().json, server.ask().json]
        assert [] == Enrolment.runs
        assert "number 1" == message(server.ask("/cloud-init"))


def test_a_preparation_outlives_the_server(tmp_path: Path) -> None:
    """A server that is started again gives the second method what the first server prepared."""
    with serve(Enrolment, directory=tmp_path) as server:
        server.ask()
    with serve(Enrolment, directory=tmp_path) as server:
        assert "number 1" == message(server.ask("/cloud-init"))


def test_a_preparation_that_fails_is_the_error_of_the_answer() -> None:
    """An error of `prepare` is that of both methods, none of which runs; the next request prepares again."""

    class Failing(Enrolment):
        """Fails the first two times."""

        name = "enrolment"

        async def number(self, run: int) -> Any:
            """Fail."""
            if run > 2:
                return {"number": run}
            raise ServiceUnavailable("the directory cannot be reached")

    with serve(Failing) as server:
        failed = [server.ask(), server.ask("/cloud-init")]
        assert {"number": 3} == server.ask().json
    assert [(503, "unavailable")] * 2 == [(each.status, each.code) for each in failed]
    assert "the directory cannot be reached" == failed[0].message
    assert ["prepare", "prepare", "prepare", "handle"] == Enrolment.runs


def test_the_fallback_replaces_an_error_of_the_preparation() -> None:
    """With OnError.EMPTY a failed preparation is `{}` for both, and nothing is pinned."""

    class Optional(Enrolment):
        """Fails once for each method."""

        name = "enrolment"
        on_error = OnError.EMPTY

        async def number(self, run: int) -> Any:
            """Fail."""
            if run <= 2:
                raise ValueError("planted-secret")
            return {"number": run}

    with serve(Optional) as server:
        assert [{}, {}, {"number": 3}] == [server.ask().json, server.ask("/cloud-init").json, server.ask().json]


def test_a_provisional_preparation_is_the_answer_and_not_pinned() -> None:
    """NotYet in `prepare` is the answer of the method that needs it, and the next request prepares again."""

    class Later(Enrolment):
        """Is ready the second time."""

        name = "enrolment"

        async def number(self, run: int) -> Any:
            """Wait for the second run."""
            if run == 1:
                raise NotYet({"wait": True})
            return {"number": run}

    with serve(Later) as server:
        assert [{"wait": True}, {"number": 2}] == [server.ask().json, server.ask().json]


def test_a_slow_preparation_is_a_timeout_of_the_answer() -> None:
    """Preparation and method share the handler's timeout."""

    class Hanging(Enrolment):
        """Never ends."""

        name = "enrolment"
        timeout = 0.2

        async def number(self, run: int) -> Any:
            """Hang."""
            await asyncio.Event().wait()

    with serve(Hanging) as server:
        began = time.monotonic()
        answer = server.ask()
    assert (504, "handler_timeout") == (answer.status, answer.code)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("wrong", [float("nan"), object(), CloudConfig({"timezone": "UTC"})])
def test_a_preparation_that_is_no_json_is_an_error(wrong: object) -> None:
    """A preparation is held to what JSON has."""

    class Wrong(Enrolment):
        """Prepares something else."""

        name = "enrolment"

        async def number(self, run: int) -> Any:
            """Return it."""
            return {"number": wrong}

    with serve(Wrong) as server:
        assert (500, "bad_answer") == ((answer := server.ask()).status, answer.code)


def test_neither_log_nor_repr_has_what_is_prepared(caplog: pytest.LogCaptureFixture) -> None:
    """What was prepared is in no log line of a request, and not in the request's repr."""
    caplog.set_level("DEBUG")

    class Secret(Enrolment):
        """Prepares a secret."""

        name = "enrolment"

        async def number(self, run: int) -> Any:
            """Return it."""
            return {"number": "planted-secret"}

    with serve(Secret) as server:
        assert "planted-secret" in server.ask().body.decode()
        assert "planted-secret" in server.ask("/cloud-init").body.decode()
    assert "planted-secret" not in caplog.text
    assert "planted-secret" not in repr(VendordataRequest(INSTANCE, prepared="planted-secret"))


def test_outside_of_a_server_there_is_nothing_to_forget() -> None:
    """A handler that a unit test creates forgets without an error."""
    assert None is asyncio.run(Enrolment().forget(INSTANCE))


@pytest.mark.parametrize("name", ["pin = false and prepare exclude each other: what it makes is pinned"])
def test_an_operator_cannot_unpin_what_is_prepared(name: str) -> None:
    """`pin = false` for a handler with `prepare` stops the start."""
    with pytest.raises(ConfigError, match=name), serve(Enrolment, options={"pin": False}):
        pass
