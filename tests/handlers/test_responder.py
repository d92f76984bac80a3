"""The responder: single-flight, the cache and the fallbacks of one handler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fixtures import Clock
from tests.support.handlers.keeping import Scripted
from tests.support.serving import INSTANCE, run, section, write_config
from vendorsrv import BadRequest, NotYet, ServiceUnavailable, Settings, VendordataError, VendordataRequest
from vendorsrv.answer import Answer
from vendorsrv.cache.answers import MemoryCache
from vendorsrv.handlers.registry import Registry
from vendorsrv.handlers.responder import Responder

Build = Callable[..., Responder]
REQUEST = VendordataRequest(INSTANCE)


@pytest.fixture
def responder_of(tmp_path: Path, clock: Clock) -> Build:
    """Build the responder of a class of tests/support/handlers/keeping.py, with what the operator sets for it."""

    def build(name: str, **overrides: object) -> Responder:
        handlers = f"tests.support.handlers.keeping:{name}"
        config = write_config(tmp_path, handlers=handlers, sections=section(f"handler:{name.lower()}", overrides))
        settings = Settings.from_file(config)
        (enabled,) = Registry(settings).handlers.values()
        return Responder(enabled, MemoryCache(2**20, clock), None, settings.max_answer_bytes, clock)

    return build


def script(responder: Responder, value: Callable[[int], Any]) -> Scripted:
    """Let the handler of a responder do this, and return the handler."""
    handler: Any = responder.enabled.handler
    handler.script = value
    return handler  # type: ignore[no-any-return]


def runs(responder: Responder) -> int:
    """Return how often the handler of a responder ran."""
    handler: Any = responder.enabled.handler
    return int(handler.runs)


def raises(error: BaseException) -> Callable[[int], Awaitable[Any]]:
    """A script that raises."""

    async def work(_: int) -> Any:
        raise error

    return work


class Slowly:
    """A script whose runs end when the test says so; built on the event loop."""

    def __init__(self, responder: Responder) -> None:
        self.over = asyncio.Event()
        self.begun = asyncio.Event()
        script(responder, self.work)

    async def work(self, run: int) -> Any:
        """Wait, and give the number of the run."""
        self.begun.set()
        await self.over.wait()
        return {"run": run}


async def outcome(asked: Awaitable[Answer]) -> object:
    """Return how a request ended: with an answer, or with status and code."""
    try:
        return await asked
    except VendordataError as error:
        return error.status, error.code


def ask(responder: Responder, request: VendordataRequest = REQUEST, seconds: float = 4.5) -> object:
    """Ask once."""
    return run(outcome(responder.answer(request, time.monotonic() + seconds)))


@pytest.mark.parametrize("name", ["Scripted", "Cached", "Stale", "Empty"])
def test_concurrent_requests_share_one_run(responder_of: Build, name: str) -> None:
    """Fifty concurrent requests run the handler once, and all get its answer."""
    responder = responder_of(name)

    async def ask_all() -> list[Answer]:
        slowly = Slowly(responder)
        asking = [asyncio.create_task(responder.answer(REQUEST, time.monotonic() + 4.5)) for _ in range(50)]
        await slowly.begun.wait()  # all of them began to ask before the run did
        slowly.over.set()
        return await asyncio.gather(*asking)

    assert {b'{"run":1}'} == {answer.body for answer in run(ask_all())}
    assert 1 == runs(responder)


def test_concurrent_requests_share_the_error(responder_of: Build) -> None:
    """Fifty concurrent requests get one failure, which counts once."""
    responder = responder_of("Scripted")
    handler = script(responder, raises(ValueError("planted-secret")))

    async def ask_all() -> list[object]:
        return await asyncio.gather(*(outcome(responder.answer(REQUEST, time.monotonic() + 4.5)) for _ in range(50)))

    assert {(500, "handler_failed")} == set(run(ask_all()))
    assert (1, 1) == (handler.runs, responder.limiter.exceptions.count)


def test_a_cancelled_request_does_not_cancel_the_shared_run(responder_of: Build) -> None:
    """The request that started a run may be cancelled; the others get its answer."""
    responder = responder_of("Cached")

    async def ask_twice() -> Answer:
        slowly = Slowly(responder)
        first, second = (asyncio.create_task(responder.answer(REQUEST, time.monotonic() + 4.5)) for _ in range(2))
        await slowly.begun.wait()
        first.cancel()
        await asyncio.wait({first})
        slowly.over.set()
        return await second

    assert b'{"run":1}' == run(ask_twice()).body
    assert 1 == runs(responder)


def test_a_request_joins_a_run_only_until_its_own_deadline(responder_of: Build) -> None:
    """A request whose deadline comes before the end of the shared run is answered 504."""
    responder = responder_of("Scripted")

    async def ask_twice() -> list[object]:
        slowly = Slowly(responder)
        first = asyncio.create_task(outcome(responder.answer(REQUEST, time.monotonic() + 4.5)))
        await slowly.begun.wait()
        late = await outcome(responder.answer(REQUEST, time.monotonic() + 0.1))
        slowly.over.set()
        return [await first, late]

    assert [Answer(b'{"run":1}'), (504, "handler_timeout")] == run(ask_twice())


FAILURES = {
    "it raises": (ValueError("planted-secret"), (500, "handler_failed")),
    "it cannot now": (ServiceUnavailable("later"), (503, "unavailable")),
    "the request is wrong": (BadRequest("no"), (400, "bad_request")),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(
    ("name", "overrides", "fallback"),
    [
        ("Scripted", {}, None),
        ("Scripted", {"on_error": "empty"}, b"{}"),
        ("Scripted", {"on_error": "stale"}, b'{"run":1}'),
        ("Empty", {}, b"{}"),
        ("Empty", {"on_error": "fail"}, None),
        ("Stale", {"cache_for": 0}, b'{"run":1}'),
        ("Stale", {"on_error": "fail", "cache_for": 0}, None),
    ],
)
def test_on_error_decides_on_the_answer_after_a_failure(
    responder_of: Build, name: str, overrides: dict[str, object], fallback: bytes | None, failure: str
) -> None:
    """The class or the operator sets the fallback; a 4xx always reaches Nova."""
    error, said = FAILURES[failure]
    responder = responder_of(name, **overrides)
    assert b'{"run":1}' == getattr(ask(responder), "body", None)
    script(responder, raises(error))
    answer = ask(responder)
    if fallback is None or said[0] < 500:
        assert said == answer
    else:
        assert Answer(fallback) == answer


def test_a_stale_answer_is_given_however_old_and_is_not_to_be_stored(
    responder_of: Build, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A stale answer of 25 hours is returned without a max-age, and is logged and counted."""
    responder = responder_of("Stale")
    assert Answer(b'{"run":1}', fresh_for=60.0) == ask(responder)
    script(responder, raises(ServiceUnavailable("later")))
    clock.now += 90_000
    assert Answer(b'{"run":1}', fresh_for=None) == ask(responder)
    assert ["handler stale failed (unavailable); fallback: stale"] == caplog.messages
    assert {"state": "ok", "stale": 1} == responder.state()


@pytest.mark.parametrize("changed", [{"hostname": "new"}, {"metadata": {"a": "b"}}, {"boot_roles": ("member",)}])
def test_a_stale_answer_is_the_last_one_of_the_instance(responder_of: Build, changed: dict[str, Any]) -> None:
    """A stale answer may be one to another request about the instance; a fresh one is not."""
    responder = responder_of("Stale")
    ask(responder)
    script(responder, raises(ServiceUnavailable("later")))
    answer = ask(responder, VendordataRequest(INSTANCE, **changed))
    assert (b'{"run":1}', None) == (getattr(answer, "body", None), getattr(answer, "fresh_for", None))


def test_an_instance_without_an_answer_gets_the_error(responder_of: Build) -> None:
    """An instance that has no earlier answer gets the error, and not the answer of another one."""
    responder = responder_of("Stale")
    ask(responder)
    script(responder, raises(ServiceUnavailable("later")))
    assert (503, "unavailable") == ask(responder, VendordataRequest("6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0b"))


def test_an_empty_fallback_is_logged_and_counted(responder_of: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Each ``{}`` that replaces an error is a warning, and is counted in the state."""
    responder = responder_of("Empty")
    script(responder, raises(ServiceUnavailable("later")))
    assert [Answer(b"{}")] * 2 == [ask(responder), ask(responder)]
    assert ["handler empty failed (unavailable); fallback: empty"] * 2 == caplog.messages
    assert {"state": "ok", "empty": 2} == responder.state()


@pytest.mark.parametrize("name", ["Scripted", "Cached", "Stale"])
def test_a_provisional_answer_is_not_cached(responder_of: Build, name: str) -> None:
    """The answer in a NotYet, or ``{}`` without one, is returned once."""
    responder = responder_of(name)
    script(responder, raises(NotYet({"wait": True})))
    assert [Answer(b'{"wait":true}')] * 2 == [ask(responder), ask(responder)]
    script(responder, raises(NotYet()))
    assert Answer(b"{}") == ask(responder)


@pytest.mark.parametrize(("name", "fallback"), [("Scripted", (503, "circuit_open")), ("Empty", Answer(b"{}"))])
def test_on_error_decides_while_the_circuit_is_open(
    responder_of: Build, clock: Clock, name: str, fallback: object
) -> None:
    """With an open circuit the handler is not run; after ten seconds it is."""
    responder = responder_of(name)
    handler = script(responder, raises(ServiceUnavailable("later")))
    for _ in range(5):
        ask(responder)
    assert (fallback, 5, "circuit_open") == (ask(responder), handler.runs, responder.state()["state"])
    script(responder, Scripted.script.__get__(handler))
    clock.now += 10.0
    assert (Answer(b'{"run":6}'), "ok") == (ask(responder), responder.state()["state"])


def test_cached_answers_are_returned_while_the_circuit_is_open(responder_of: Build, clock: Clock) -> None:
    """A fresh answer does not need the handler."""
    responder = responder_of("Cached")
    ask(responder)
    script(responder, raises(ServiceUnavailable("later")))
    for _ in range(6):
        ask(responder, VendordataRequest(INSTANCE, hostname="other"))
    assert Answer(b'{"run":1}', fresh_for=60.0) == ask(responder)
