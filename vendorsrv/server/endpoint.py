"""From ASGI to the pipeline and back: the path that Nova's requests take, with no framework in between."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vendorsrv.answer import Answer
from vendorsrv.errors import (
    BadRequest,
    BodyTimeout,
    BodyTooLarge,
    MethodNotAllowed,
    ServerError,
    Unauthorized,
    UnsupportedMediaType,
    VendordataError,
)
from vendorsrv.server.pipeline import Asked, Pipeline
from vendorsrv.settings import Settings
from vendorsrv.telemetry.logs import Access, begin, new_request_id
from vendorsrv.telemetry.metrics import RequestMetrics
from vendorsrv.telemetry.tracebacks import raised_at

LOG = logging.getLogger(__name__)
REQUEST_ID_HEADER: Final = b"x-openstack-request-id"
#: Where the class of the error that the framework's application answered with is in its scope.
FAILURE: Final = "vendorsrv.failure"
#: All that is read of a request's headers.
READ: Final = frozenset({REQUEST_ID_HEADER, b"x-auth-token", b"content-type", b"content-encoding", b"content-length"})
NO_STORE: Final = ((b"cache-control", b"no-store"),)


class Endpoint:
    """Answers ``POST /{handler}`` and ``POST /``; renders every error, whoever raised it.

    :param challenge: the value of ``WWW-Authenticate`` on 401.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, challenge: str, metrics: RequestMetrics) -> None:
        self.pipeline = pipeline
        self.metrics = metrics
        self.max_body_bytes = settings.max_body_bytes
        self.body_timeout = settings.body_timeout
        self.challenge = challenge

    def serves(self, path: str) -> bool:
        """Say whether a path is ``/`` or ``/{handler}``."""
        return path.find("/", 1) == -1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path :meth:`serves`."""
        started = time.monotonic()
        headers = pick_headers(scope["headers"])
        request_id = new_request_id()
        begin(request_id, headers.get(REQUEST_ID_HEADER))
        access = Access(scope["method"], scope["path"])
        outcome: int | type[BaseException]
        self.metrics.in_progress.inc()
        try:
            answer = await self.answer(scope, headers, receive, request_id, access)
            outcome = status = 200
            await respond(send, status, answer.body, request_id, cache_control(answer.fresh_for))
        except VendordataError as error:
            status, access.error, outcome = error.status, f"{error.code}: {error.message}", type(error)
            await self.respond_error(send, error, request_id)
        except Exception as error:
            LOG.error("%s %s", type(error).__name__, raised_at(error))
            status, access.error, outcome = 500, f"{ServerError.code}: {type(error).__name__}", type(error)
            await self.respond_error(send, ServerError("the server failed; its log has more"), request_id)
        seconds = time.monotonic() - started
        access.log(status, seconds)
        self.metrics.in_progress.dec()
        self.metrics.ended(scope["path"], outcome, seconds)

    async def wrap(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the framework's application for all other paths, with the same ids, log lines and last resort."""
        started = time.monotonic()
        request_id = new_request_id()
        begin(request_id, pick_headers(scope["headers"]).get(REQUEST_ID_HEADER))
        statuses: list[int] = []

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        try:
            await application(scope, receive, send_with_id)
        except Exception as error:  # the framework has answered it with 500 already
            LOG.error("%s %s", type(error).__name__, raised_at(error))
        own = scope["path"].startswith("/-/")
        seconds = time.monotonic() - started
        Access(scope["method"], scope["path"], polled=own).log(statuses[0], seconds)
        if not own:
            self.metrics.ended(scope["path"], scope.get(FAILURE, 200), seconds)

    async def answer(
        self, scope: Scope, headers: dict[bytes, str], receive: Receive, request_id: str, access: Access
    ) -> Answer:
        if scope["method"] != "POST":
            raise MethodNotAllowed("vendordata is asked for by POST")
        path = scope["path"]
        asked = Asked(
            handler=path[1:] or None,
            path=path,
            token=headers.get(b"x-auth-token"),
            read=partial(self.read, headers, receive),
            request_id=request_id,
        )
        return await self.pipeline.answer(asked, access)

    async def read(self, headers: dict[bytes, str], receive: Receive, budget: float) -> bytes:
        """Read the body within the limits of size and time.

        :raises UnsupportedMediaType: it is not declared as JSON.
        :raises BodyTooLarge: it is, or is declared to be, over ``max_body_bytes``.
        :raises BodyTimeout: it takes longer than ``body_timeout``, or than what is left of the request's time.
        """
        check_media_type(headers.get(b"content-type", ""), headers.get(b"content-encoding", "identity"))
        if int(headers.get(b"content-length", "0")) > self.max_body_bytes:
            raise BodyTooLarge(f"the body has more than {self.max_body_bytes} bytes")
        body = collect(receive, self.max_body_bytes)
        steps = body.__await__()
        try:
            waits_for = next(steps)
        except StopIteration as done:  # it had come with the headers, as Nova's does: no timer for those, 7 µs less
            return bytes(done.value)
        try:
            async with asyncio.timeout(min(self.body_timeout, budget)):
                return await Rest(waits_for, steps)
        except TimeoutError:
            raise BodyTimeout("the body came too slowly") from None
        finally:
            body.close()

    async def respond_error(self, send: Send, error: VendordataError, request_id: str) -> None:
        """Send the one shape that every error has."""
        extra = dict(error.headers)
        if isinstance(error, Unauthorized):
            extra["WWW-Authenticate"] = self.challenge
        headers = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
        await respond(send, error.status, error_body(error, request_id), request_id, headers)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to await of a coroutine that this task has begun."""

    waits_for: Any
    steps: Generator[Any, Any, bytes]

    def __await__(self) -> Generator[Any, Any, bytes]:
        yield self.waits_for
        return (yield from self.steps)


def error_body(error: VendordataError, request_id: str) -> bytes:
    """Give the JSON of an error, in the shape whose message keystoneauth1 shows in Nova's log."""
    fields = {"code": error.code, "title": error.title, "message": error.message, "request_id": request_id}
    return json.dumps({"error": fields}).encode()


async def respond(
    send: Send, status: int, body: bytes, request_id: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole JSON response."""
    start = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (REQUEST_ID_HEADER, request_id.encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def cache_control(fresh_for: float | None) -> Iterable[tuple[bytes, bytes]]:
    """Return the header that states how many seconds an answer may be reused (RFC 9111, 5.2.2)."""
    return NO_STORE if fresh_for is None else max_age(int(fresh_for))


@lru_cache(maxsize=512)
def max_age(seconds: int) -> Iterable[tuple[bytes, bytes]]:
    return ((b"cache-control", b"private, max-age=%d" % seconds),)


async def collect(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the body was cut short")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes")
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def pick_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Give the headers of :data:`READ`, repeated ones joined (RFC 9110, 5.3): two tokens make a malformed one."""
    picked: dict[bytes, str] = {}
    for name, value in headers:
        if name in READ:
            text = value.decode("latin-1")
            picked[name] = f"{picked[name]}, {text}" if name in picked else text
    return picked


@lru_cache(maxsize=128)
def accepted(content_type: str, content_encoding: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [each.partition("=")[2].strip('"') for each in parameters if each.startswith("charset=")]
    return media_type == "application/json" and set(charsets) <= {"utf-8", "utf8"} and content_encoding == "identity"


def check_media_type(content_type: str, content_encoding: str) -> None:
    if not accepted(content_type, content_encoding):
        raise UnsupportedMediaType("the body must be application/json in UTF-8, not encoded")
