"""What a handler raises to refuse a request, or to have nothing for an instance."""

from __future__ import annotations

from typing import Any

import pytest

from vendorsrv import (
    Forbidden,
    Handler,
    NotForThisInstance,
    OnError,
    ServiceUnavailable,
    TooManyRequests,
    VendordataRequest,
)
from vendorsrv.testing import Answer, ManualClock, serve

REFUSALS = {
    403: (Forbidden("not for this project"), "forbidden", "Forbidden"),
    429: (TooManyRequests("one password an hour"), "too_many_requests", "Too Many Requests"),
}


class Choosy(Handler):
    """Raise what a test sets."""

    raised: Exception | None = None
    runs = 0

    async def handle(self, request: VendordataRequest) -> Any:
        """Count the runs."""
        type(self).runs += 1
        if self.raised:
            raise self.raised
        return {"run": self.runs}

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return a cloud-config."""
        return f"#cloud-config\nhostname: run-{(await self.handle(request))['run']}\n"


class Other(Handler):
    """Always answer."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Return an empty object, which is an answer."""
        return {}

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return a cloud-config."""
        return "#cloud-config\nhostname: other\n"


def new(raised: Exception | None, **attributes: Any) -> type[Choosy]:
    """Return the handler with a count of its own."""
    return type("Choosy", (Choosy,), {"raised": raised, "runs": 0, **attributes})


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("on_error", OnError)
def test_a_refusal_reaches_nova_whatever_the_fallback(status: int, on_error: OnError) -> None:
    """on_error does not replace a Forbidden or a TooManyRequests, not even by an earlier answer."""
    error, code, title = REFUSALS[status]
    handler = new(None, on_error=on_error)
    with serve(handler) as server:
        server.ask()
        handler.raised = error
        answer = server.ask(hostname="new")
    assert (status, code, title) == (answer.status, answer.code, answer.json["error"]["title"])
    assert error.message == answer.message


def test_too_many_requests_says_when_to_retry() -> None:
    """A 429 has Retry-After."""
    with serve(new(TooManyRequests("later"))) as server:
        assert "1" == server.ask().headers["retry-after"]


@pytest.mark.parametrize("error", [*(each for each, *_ in REFUSALS.values()), NotForThisInstance()])
def test_refusals_do_not_count_for_the_circuit_breaker(error: Exception) -> None:
    """After ten refusals for ten instances the handler runs, and they end a row of outages."""
    handler = new(ServiceUnavailable("later"))
    with serve(handler) as server:
        for number in range(15):
            handler.raised = ServiceUnavailable("later") if number < 4 else error
            server.ask(instance_id=f"7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c{number:02}")
        handler.raised = ServiceUnavailable("later")
        assert ["unavailable"] * 4 == [server.ask().code for _ in range(4)]
        handler.raised = None
        assert {"run": 20} == server.ask().json


def answers(server: Any) -> list[Answer]:
    """Ask the handler alone, then all, then for cloud-init."""
    return [server.ask(path) for path in ("choosy", "/", "cloud-init")]


@pytest.mark.parametrize("attributes", [{}, {"cache_for": 60.0}, {"pin": True}, {"on_error": OnError.STALE}])
def test_a_handler_that_is_not_for_the_instance_is_left_out(attributes: dict[str, Any]) -> None:
    """Alone it answers {}; POST / and /cloud-init have the others' answers, from a run or kept, each time."""
    with serve(new(NotForThisInstance(), **attributes), Other) as server:
        for _ in range(2):
            alone, together, cloud_init = answers(server)
            assert (200, b"{}") == (alone.status, alone.body)
            assert b'{"other":{}}' == together.body
            assert "#cloud-config\nhostname: other\n" == cloud_init.json


def test_nobody_is_for_the_instance() -> None:
    """Without a handler for the instance, POST / and /cloud-init answer {}."""
    with serve(new(NotForThisInstance())) as server:
        assert [b"{}"] * 3 == [answer.body for answer in answers(server)]


def test_not_for_this_instance_is_pinned() -> None:
    """The instance gets {} for its life, and POST / leaves the handler out for as long, whatever the handler says."""
    handler = new(NotForThisInstance(), pin=True)
    with serve(handler, Other) as server:
        before = answers(server)
        handler.raised = None
        assert [each.body for each in before] == [each.body for each in answers(server)]
    assert 2 == handler.runs


def test_not_for_this_instance_is_cached() -> None:
    """With cache_for the handler runs again when that time is over."""
    clock = ManualClock()
    handler = new(NotForThisInstance(), cache_for=60.0)
    with serve(handler, Other, clock=clock) as server:
        assert "private, max-age=60" == server.ask("choosy").headers["cache-control"]
        handler.raised = None
        assert b'{"other":{}}' == server.ask("/").body
        clock.advance(61)
        assert b'{"choosy":{"run":2},"other":{}}' == server.ask("/").body


def test_a_handler_for_cloud_init_may_have_nothing() -> None:
    """A handler that Nova's target cloud-init calls directly answers {} for an instance that it is not for."""
    with serve(new(NotForThisInstance(), for_cloud_init=True, pin=True)) as server:
        assert [b"{}"] * 2 == [server.ask("choosy").body for _ in range(2)]


def test_a_handler_that_answers_an_empty_object_is_not_left_out() -> None:
    """{} that a handler returns is its answer, in POST / too."""
    with serve(Other) as server:
        assert b'{"other":{}}' == server.ask("/").body


def test_a_preparation_that_is_not_for_this_instance_keeps_both_methods_from_running() -> None:
    """What prepare refuses is pinned for both answers: `{}` alone, and left out of the joint ones."""

    class Prepared(Choosy):
        """Prepares for no instance."""

        name = "choosy"

        def prepare(self, request: VendordataRequest) -> Any:
            """Count the runs."""
            type(self).runs += 1
            raise NotForThisInstance

    with serve(Prepared, Other) as server:
        for _ in range(2):
            assert {} == server.ask("/choosy").json
            assert {"other": {}} == server.ask("/").json
            assert "run-" not in server.ask("/cloud-init").json
    assert 1 == Prepared.runs
