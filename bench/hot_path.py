"""The CPU time of each part of a request, in this process: no network, no uvicorn, a known token."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvloop
from starlette.types import ASGIApp, Message

from bench.bare import floor
from bench.effort import EFFORT
from bench.goals import NO_GOAL, at_most
from bench.measure import Cost
from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, section, write_config
from vendorsrv import Settings, VendordataRequest
from vendorsrv.server.app import Application, create_app
from vendorsrv.server.endpoint import pick_headers
from vendorsrv.strictjson import parse
from vendorsrv.telemetry.logs import AccessLine, new_request_id, set_up_logging

#: Calls in a batch, and batches in a round: the quickest short batch was not interrupted by other processes.
BATCH: Final = 50
BATCHES: Final = 20
#: The goal for the check of a known token, in microseconds.
CHECK: Final = 5.0

#: The same body for every request.
SAME: Final = itertools.repeat(BODY)

Call = Callable[[], Awaitable[object]]


@asynccontextmanager
async def server(folder: Path, **sections: Mapping[str, object]) -> AsyncIterator[tuple[Application, str]]:
    """Open the application as in a worker, with its log in a file; yield it and a valid token.

    :param sections: more options, by section.
    """
    handlers = ", ".join(f"bench.handlers:{name}" for name in ("Trivial", "Cached", "Pinned"))
    root = logging.getLogger()
    before = [*root.handlers], root.level
    with FakeKeystone() as keystone:
        own: dict[str, Any] = {"handlers": handlers, **sections.pop("vendorsrv", {})}
        added = {"DEFAULT": {"log_file": folder / "log"}, **sections}
        text = "".join(section(name, options) for name, options in added.items())
        settings = Settings.from_file(write_config(folder, keystone, sections=text, **own))
        set_up_logging(settings.conf)
        application = create_app(settings)
        try:
            async with application.run_handlers(application):
                yield application, keystone.issue("service")
        finally:
            root.handlers[:], root.level = before


def request_call(application: ASGIApp, path: str, token: str, bodies: Iterator[bytes] = SAME) -> Call:
    """Return a call that sends one request through ASGI, as uvicorn does, and returns the answer's body.

    :param bodies: of the requests, in turn; all of one length.
    """
    headers = [
        (b"host", b"vendordata:9090"),
        (b"user-agent", b"openstack-nova-vendordata"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"accept", b"application/json"),
        (b"connection", b"keep-alive"),
        (b"content-type", b"application/json"),
        (b"x-auth-token", token.encode()),
        (b"content-length", b"%d" % len(BODY)),
    ]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "client": ("10.0.0.21", 40000)}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": next(bodies), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def call() -> bytes:
        sent.clear()
        await application({**scope}, receive, send)
        start, end = sent
        assert 200 == start["status"]
        body: bytes = end["body"]
        return body

    return call


def awaitable(function: Callable[[], Any]) -> Call:
    """Return an awaitable call of a plain function."""

    async def call() -> None:
        function()

    return call


def parts(application: Application, token: str, request: VendordataRequest) -> dict[str, Call]:
    """Return a call for each part of a request that can be measured alone."""
    caller = request.caller
    assert caller
    responders, policy = application.responders, application.policy
    access = AccessLine("POST", "/trivial", caller.user_id, "trivial", request.instance_id)
    headers = [(b"content-type", b"application/json"), (b"x-auth-token", token.encode()), (b"accept", b"*/*")]

    def check_policy() -> None:
        policy.admit(caller)
        policy.allows("trivial", request, caller)

    def answer_of(name: str) -> Call:
        return lambda: responders[name].answer(request, time.monotonic() + 4.0)

    return {
        "headers and request id": awaitable(lambda: (pick_headers(headers), new_request_id())),
        "caller check": lambda: application.authenticator.validate(token, "/trivial"),
        "policy": awaitable(check_policy),
        "body, parsed for the first time": awaitable(lambda: parse(BODY)),
        "request, of a body that came before": awaitable(
            lambda: VendordataRequest.from_json(BODY, caller, "req-1", token)
        ),
        "handler, nothing kept": answer_of("trivial"),
        "answer from the cache": answer_of("cached"),
        "answer from its pin": answer_of("pinned"),
        "log line": awaitable(lambda: access.log(200, 0.001)),
    }


async def quickest(calls: Mapping[str, Call], rounds: int) -> dict[str, Cost]:
    """Measure the CPU time of calls in turn; the quickest batch of each round counts."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(min([await batch(call) for _ in range(BATCHES)]))
    return {name: Cost.of(each) for name, each in found.items()}


async def batch(call: Call) -> float:
    """Return the CPU seconds of one call, measured over a batch."""
    started = time.thread_time()
    for _ in range(BATCH):
        await call()
    return (time.thread_time() - started) / BATCH


async def measure() -> dict[str, Cost]:
    """Measure the floor, whole requests and their parts."""
    with TemporaryDirectory() as folder:
        async with server(Path(folder)) as (application, token):
            await application.authenticator.validate(token, "/")
            caller = await application.authenticator.validate(token, "/trivial")
            application.policy.admit(caller)
            request = VendordataRequest.from_json(BODY, caller, new_request_id(), token)
            whole = {f"whole request: {name}": f"/{name}" for name in ("trivial", "cached", "pinned")}
            calls = {
                "floor": request_call(floor, "/", token),
                **{name: request_call(application, path, token) for name, path in whole.items()},
                **parts(application, token, request),
            }
            for call in calls.values():
                await call()
            await asyncio.sleep(0.1)
            return await quickest(calls, EFFORT.get().rounds)


def report() -> list[dict[str, object]]:
    """Return a row for each part: its CPU time on the event loop, at best."""
    costs = uvloop.run(measure())
    return [
        {
            "what": name,
            "µs": cost.median,
            "spread": f"{cost.lowest}-{cost.highest}",
            **(at_most(cost.median, CHECK) if name == "caller check" else NO_GOAL),
        }
        for name, cost in costs.items()
    ]
