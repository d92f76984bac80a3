"""What handlers say of themselves in `/-/ready`, and whether it concerns the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from vendorsrv import Handler, VendordataRequest
from vendorsrv.testing import serve


class Stocked(Handler):
    """Say that something is used up."""

    says: ClassVar[Mapping[str, Any]] = {"ready": False, "message": "no seat is left"}

    def state(self) -> Mapping[str, Any]:
        """Say it."""
        return self.says

    def handle(self, request: VendordataRequest) -> str:
        """Answer all the same."""
        return "a1"


class Required(Stocked):
    """Say that the server is concerned."""

    required_for_ready = True


def test_a_handler_that_is_not_ready_is_shown_and_the_server_is_ready() -> None:
    """A handler that says it is not ready is shown with its message, and `/-/ready` stays 200."""
    with serve(Stocked) as server:
        answer = server.get("/-/ready")
    shown = {"state": "not_ready", "ready": False, "message": "no seat is left"}
    assert (200, True, shown) == (answer.status, answer.json["ready"], answer.json["handlers"]["stocked"])


@pytest.mark.parametrize("path", ["/-/ready", "/healthcheck"])
def test_a_required_handler_that_is_not_ready_concerns_the_server(path: str) -> None:
    """The server is not ready while a handler with required_for_ready is not; all is still served."""
    with serve(Required) as server:
        found, served = server.get(path), server.ask()
    assert (503, "unavailable", "handler required is not ready: no seat is left") == (
        found.status,
        found.code,
        found.message,
    )
    assert (200, "a1") == (served.status, served.json)


def test_the_operator_decides_whether_a_handler_is_required() -> None:
    """required_for_ready in the handler's section overrides the class."""
    with serve(Stocked, options={"required_for_ready": True}) as server:
        assert 503 == server.get("/-/ready").status
    with serve(Required, options={"required_for_ready": False}) as server:
        assert 200 == server.get("/-/ready").status


def test_a_message_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a message the reason is the handler's name."""
    monkeypatch.setattr(Required, "says", {"ready": False})
    with serve(Required) as server:
        assert "handler required is not ready" == server.get("/-/ready").message


@pytest.mark.parametrize("says", [{}, {"ready": True}, {"ready": None}, {"ready": 0}, {"ready": "no"}])
def test_only_false_is_not_ready(monkeypatch: pytest.MonkeyPatch, says: dict[str, object]) -> None:
    """Any other value than False leaves a required handler ready."""
    monkeypatch.setattr(Required, "says", says)
    with serve(Required) as server:
        answer = server.get("/-/ready")
    assert (200, "ok") == (answer.status, answer.json["handlers"]["required"]["state"])


def test_a_required_handler_whose_state_fails_leaves_the_server_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state() that gives no JSON is that handler's error, also of a required handler."""
    monkeypatch.setattr(Required, "says", {"ready": False, "since": object()})
    with serve(Required) as server:
        answer = server.get("/-/ready")
    assert (200, {"state": "error", "error": "TypeError"}) == (answer.status, answer.json["handlers"]["required"])
