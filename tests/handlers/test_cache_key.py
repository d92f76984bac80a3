"""A handler's own cache_key: which requests share an answer."""

from __future__ import annotations

from typing import Any

import pytest

from vendorsrv import Forbidden, Handler, OnError, ServiceUnavailable, VendordataRequest
from vendorsrv.testing import ManualClock, nova_body, serve

INSTANCES = [f"7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c{number:02}" for number in range(22)]


class Keys(Handler):
    """The number of the run, for a project."""

    cache_for = 300.0
    runs = 0
    error: BaseException | None = None

    def cache_key(self, request: VendordataRequest) -> Any:
        """Whatever else changes, the answer is the project's."""
        return request.project_id

    async def handle(self, request: VendordataRequest) -> Any:
        """Count the runs."""
        type(self).runs += 1
        if self.error:
            raise self.error
        return {"run": self.runs}

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """The same as a cloud-config."""
        return f"#cloud-config\nhostname: run-{(await self.handle(request))['run']}\n"


def new(**attributes: Any) -> type[Keys]:
    """Return the handler with a count of its own, and other attributes."""
    return type("Keys", (Keys,), {"runs": 0, **attributes})


def raises(error: BaseException) -> Any:
    """Return a cache_key that raises."""

    def cache_key(self: Handler, request: VendordataRequest) -> Any:
        raise error

    return cache_key


def test_the_instances_of_a_project_share_an_answer() -> None:
    """22 instances of one project get the answer of one run, and another project gets its own."""
    with serve(new()) as server:
        bodies = [nova_body(instance_id=each, hostname=each, project_id="a") for each in INSTANCES]
        assert {b'{"run":1}'} == {answer.body for answer in server.ask_at_once(bodies)}
        assert b'{"run":1}' == server.ask(project_id="a", metadata={"a": "b"}, boot_roles="").body
        assert b'{"run":2}' == server.ask(project_id="b").body


def test_cloud_init_has_answers_of_its_own() -> None:
    """The same key stands for another answer in cloud_init."""
    with serve(new()) as server:
        assert b'{"run":1}' == server.ask("keys").body
        assert ["#cloud-config\nhostname: run-2\n"] * 2 == [
            server.ask("cloud-init", instance_id=each).json.split("# ")[0] for each in INSTANCES[:2]
        ]


def test_an_answer_of_a_key_expires() -> None:
    """After cache_for the handler runs again for the key."""
    clock = ManualClock()
    with serve(new(), clock=clock) as server:
        server.ask()
        clock.advance(301)
        assert b'{"run":2}' == server.ask(instance_id=INSTANCES[0]).body


def test_a_stale_answer_is_the_last_one_of_the_key() -> None:
    """With OnError.STALE an instance that never had an answer gets the last one of its key."""
    clock = ManualClock()
    handler = new(on_error=OnError.STALE)
    with serve(handler, clock=clock) as server:
        server.ask(instance_id=INSTANCES[0], project_id="a")
        clock.advance(301)
        handler.error = ServiceUnavailable("later")
        assert b'{"run":1}' == server.ask(instance_id=INSTANCES[1], project_id="a").body
        assert 503 == server.ask(instance_id=INSTANCES[0], project_id="b").status


@pytest.mark.parametrize("on_error", [OnError.FAIL, OnError.STALE])
@pytest.mark.parametrize(
    ("key", "status", "message"),
    [
        (raises(ValueError("planted-secret")), 500, "handler keys failed"),
        (raises(SystemExit(3)), 500, "handler keys failed"),
        (raises(Forbidden("not for this project")), 403, "not for this project"),
        (lambda self, request: {1, 2}, 500, "the cache_key of handler keys is of type set, which is not JSON"),
    ],
)
def test_a_key_that_cannot_be_had_is_an_error(
    key: Any, status: int, message: str, on_error: OnError, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in cache_key is one of the handler, whose text is neither sent nor logged."""
    with serve(new(cache_key=key, on_error=on_error)) as server:
        answer = server.ask()
    assert (status, message) == (answer.status, answer.message)
    assert "planted-secret" not in caplog.text


def test_on_error_replaces_a_key_that_cannot_be_had() -> None:
    """With OnError.EMPTY Nova gets {} when cache_key fails."""
    with serve(new(cache_key=raises(ValueError()), on_error=OnError.EMPTY)) as server:
        assert b"{}" == server.ask().body


def test_a_key_is_not_needed_for_a_pin() -> None:
    """An operator who pins the handler gets an answer for each instance."""
    with serve(new(), options={"pin": True, "cache_for": 0}) as server:
        assert [b'{"run":1}', b'{"run":2}'] == [server.ask(instance_id=each).body for each in INSTANCES[:2]]


def test_callers_do_not_share_a_key() -> None:
    """With per_caller, two callers with the same key have answers of their own."""
    with serve(new(per_caller=True)) as server:
        other = server.keystone.issue("service", "admin", user="other")
        assert [b'{"run":1}', b'{"run":2}'] == [server.ask(token=each).body for each in (server.token, other)]
