"""What a handler's `deleted` is called with, and what happens to an instance that is gone."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.support.handlers.enrolment import INSTANCE
from tests.support.outboxes import age as older
from tests.support.pin_stores import age
from vendorsrv import Handler, NotForThisInstance, NotYet, ServiceUnavailable, VendordataRequest
from vendorsrv.handlers.clients import is_on_loop
from vendorsrv.request import PROJECT
from vendorsrv.testing import serve

OTHER = "9b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
GONE = (410, "instance_deleted", "the instance is deleted")


class Leaving(Handler):
    """Prepares something, and notes what is removed."""

    name = "leaving"

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.removed: list[tuple[str, Any]] = []

    async def prepare(self, request: VendordataRequest) -> Any:
        """Return a name."""
        return {"name": request.hostname}

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        return request.prepared

    async def deleted(self, instance_id: str, prepared: Any) -> None:
        """Note it."""
        self.removed.append((instance_id, prepared))


def handler_of(server: Any) -> Any:
    """Return the object of the only handler."""
    (enabled,) = server.app.registry.handlers.values()
    return enabled.handler


def error_of(answer: Any) -> tuple[int, str, str]:
    """Return status, code and message of an error."""
    return answer.status, answer.json["error"]["code"], answer.json["error"]["message"]


def test_deleted_gets_what_was_prepared() -> None:
    """A handler's `deleted` is called once with what it prepared, and the instance's pins go; others stay."""
    with serve(Leaving) as server:
        server.ask(hostname="web-1")
        other = server.ask(hostname="web-2", instance_id=OTHER)
        assert {"leaving": "ok"} == server.delete()
        assert {} == server.delete()
        assert [(INSTANCE, {"name": "web-1"})] == handler_of(server).removed
        assert GONE == error_of(server.ask(hostname="web-1"))
        assert other.body == server.ask(hostname="web-3", instance_id=OTHER).body


def test_an_instance_that_never_asked_is_deleted_too() -> None:
    """`deleted` is called with None for an instance for which nothing was prepared, and its late request is 410."""
    with serve(Leaving) as server:
        server.delete()
        assert [(INSTANCE, None)] == handler_of(server).removed
        assert [GONE] * 6 == [error_of(each) for each in server.config_drive()]


def test_what_prepare_had_no_answer_for_is_none() -> None:
    """A preparation that is not for this instance is None for `deleted`."""

    class Picky(Leaving):
        """Prepares nothing."""

        name = "picky"

        async def prepare(self, request: VendordataRequest) -> Any:
            """Refuse."""
            raise NotForThisInstance

    with serve(Picky) as server:
        server.ask()
        server.delete()
        assert [(INSTANCE, None)] == handler_of(server).removed


def test_a_plain_deleted_runs_in_a_thread_for_its_project() -> None:
    """A plain `def deleted` is called in a thread, with the project of the instance for `self.openstack`."""

    class Blocking(Handler):
        """Notes where it is called."""

        seen: Any = None

        async def handle(self, request: VendordataRequest) -> int:
            """Return a number."""
            return 1

        def deleted(self, instance_id: str, prepared: Any) -> None:
            """Note it."""
            type(self).seen = (instance_id, prepared, PROJECT.get(), is_on_loop())

    with serve(Blocking) as server:
        assert {"blocking": "ok"} == server.delete(project_id="0b9d")
    assert (INSTANCE, None, "0b9d", False) == Blocking.seen


def test_one_that_fails_does_not_hold_up_the_others() -> None:
    """A handler that fails is called again, others are not; the pins go when the last one is done."""

    class Failing(Leaving):
        """Fails until it is told otherwise."""

        name = "failing"
        fails = True

        async def deleted(self, instance_id: str, prepared: Any) -> None:
            """Fail, or note it."""
            if type(self).fails:
                raise ServiceUnavailable("the directory is down")
            await super().deleted(instance_id, prepared)

    with serve(Failing, Leaving) as server:
        failing, leaving = (each.handler for each in server.app.registry.handlers.values())
        for path in ("failing", "leaving"):
            server.ask(path, hostname="web-1")
        assert {"failing": "failed", "leaving": "ok"} == server.delete()
        assert {"name": "web-1"} == server.ask("leaving").json
        Failing.fails = False
        assert {"failing": "ok"} == server.delete()
        assert [(INSTANCE, {"name": "web-1"})] == failing.removed == leaving.removed  # type: ignore[attr-defined]
        assert GONE == error_of(server.ask("leaving"))


def test_nothing_to_remove_is_no_failure() -> None:
    """NotForThisInstance ends a call, and NotYet lets it be repeated."""

    class Undecided(Handler):
        """Raises what the test says."""

        raised: Exception

        async def handle(self, request: VendordataRequest) -> int:
            """Return a number."""
            return 1

        async def deleted(self, instance_id: str, prepared: Any) -> None:
            """Raise it."""
            raise self.raised

    with serve(Undecided) as server:
        Undecided.raised = NotYet()
        assert {"undecided": "failed"} == server.delete()
        Undecided.raised = NotForThisInstance()
        assert {"undecided": "ok"} == server.delete()


def test_an_unexpected_error_keeps_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """What `deleted` raises is logged without its text, which may be a secret, and fails."""

    class Wild(Leaving):
        """Raises anything."""

        name = "wild"

        async def deleted(self, instance_id: str, prepared: Any) -> None:
            """Raise."""
            raise KeyError("planted-password")

    with serve(Wild) as server, caplog.at_level(logging.DEBUG):
        assert {"wild": "failed"} == server.delete()
    assert f"deleted of instance {INSTANCE} failed (handler wild failed); next call in 1 s" in caplog.text
    assert "planted-password" not in caplog.text


def test_deleted_waits_for_a_run_that_goes_on() -> None:
    """`deleted` is not called while a run that began before goes on; what that run made is pinned nowhere."""

    class Slow(Leaving):
        """Prepares until it is told to go on."""

        name = "slow"
        began, end = threading.Event(), threading.Event()

        def prepare(self, request: VendordataRequest) -> Any:
            """Wait."""
            self.began.set()
            assert self.end.wait(60)
            return {"name": "web-1"}

    with (
        serve(Slow, options={"timeout": 60}, sections={"vendorsrv": {"request_timeout": 90}}) as server,
        ThreadPoolExecutor() as threads,
    ):
        asking = threads.submit(server.ask)
        assert Slow.began.wait(60)
        assert {"slow": "later"} == server.delete()
        Slow.end.set()
        assert GONE == error_of(asking.result(60))
        assert {"slow": "ok"} == server.delete()
        assert [(INSTANCE, {"name": "web-1"})] == handler_of(server).removed


def test_a_claim_that_has_expired_is_not_waited_for() -> None:
    """`deleted` does not wait for the run of a worker that died, nor for one that began when the instance was gone."""
    with serve(Leaving) as server:
        store = server.app.pin_service.store  # type: ignore[union-attr]
        for instance, seconds in ((INSTANCE, 3600.0), (OTHER, -3600.0)):
            server.portal.call(store.claim, instance, "leaving", "dead", None)
            server.portal.call(partial(age, store, instance, "leaving", claimed_at=time.time() - seconds))
            assert {"leaving": "ok"} == server.delete(instance)


def test_a_claim_of_a_request_that_came_later_is_not_waited_for() -> None:
    """`deleted` does not wait for requests that came some seconds after the instance was gone: these get 410."""

    class Failing(Leaving):
        """Fails once."""

        name = "failing"

        async def deleted(self, instance_id: str, prepared: Any) -> None:
            """Fail first."""
            self.removed.append((instance_id, prepared))
            if len(self.removed) == 1:
                raise ServiceUnavailable

    with serve(Failing) as server:
        assert {"failing": "failed"} == server.delete()
        store = server.app.pin_service.store  # type: ignore[union-attr]
        server.portal.call(older, store.database, 60.0)
        server.portal.call(store.claim, INSTANCE, "failing", "later", None)
        assert {"failing": "ok"} == server.delete()
