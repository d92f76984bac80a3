"""From ASGI to the pipeline and back: the path that Nova's requests take, with no framework in between."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Coroutine, Generator, Iterable, Mapping
from functools import lru_cache, partial
from types import coroutine
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
from vendorsrv.peers.addresses import Networks
from vendorsrv.peers.forwarded import forwarded_peer
from vendorsrv.server.pipeline import Pipeline
from vendorsrv.settings import Settings
from vendorsrv.telemetry.logs import AccessLine, new_request_id, set_request_ids
from vendorsrv.telemetry.metrics import RequestMetrics
from vendorsrv.telemetry.tracebacks import raised_at

Headers = Iterable[tuple[bytes, bytes]]

LOG = logging.getLogger(__name__)
REQUEST_ID_HEADER: Final = b"x-openstack-request-id"
#: Where the framework's scope has the class of the error that it answered.
ERROR_TYPE: Final = "vendorsrv.error_type"
#: The headers of a request that are read.
READ: Final = frozenset({REQUEST_ID_HEADER, b"x-auth-token", b"content-type", b"content-encoding", b"content-length"})
NO_STORE: Final = ((b"cache-control", b"no-store"),)


class Endpoint:
    """Answers ``POST /{handler}`` and ``POST /``, and turns every error into a response.

    :param challenge: the value of ``WWW-Authenticate`` on 401.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, challenge: str, metrics: RequestMetrics) -> None:
        self.pipeline = pipeline
        self.metrics = metrics
        self.max_body_bytes = settings.max_body_bytes
        self.body_timeout = settings.body_timeout
        self.trusted_proxies = Networks(settings.trusted_proxies)
        self.challenge = challenge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for ``/`` or ``/{handler}``."""
        started = time.monotonic()
        path, headers = scope["path"], pick_headers(scope["headers"])
        request_id = new_request_id()
        set_request_ids(request_id, headers.get(REQUEST_ID_HEADER))
        access = AccessLine(scope["method"], path, self.peer_of(scope))
        outcome: int | type[BaseException]
        self.metrics.in_progress.inc()
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed("vendordata requests must use POST")
            read = partial(self.read, headers, receive)
            answer = await self.pipeline.answer(path, headers.get(b"x-auth-token"), read, request_id, access)
            outcome = status = 200
            body, access.source = answer.body, answer.source
            more = NO_STORE if answer.fresh_for is None else max_age(int(answer.fresh_for))
        except VendordataError as error:
            status, access.error, outcome = error.status, f"{error.code}: {error.message}", type(error)
            body, added = error_body(error, request_id), dict(error.headers)
            if isinstance(error, Unauthorized):
                added["WWW-Authenticate"] = self.challenge
            more = [(name.lower().encode(), value.encode()) for name, value in added.items()]
        except Exception as error:
            LOG.error("%s %s", type(error).__name__, raised_at(error))
            status, access.error, outcome = 500, f"{ServerError.code}: {type(error).__name__}", type(error)
            body, more = error_body(ServerError("the server failed; its log has more"), request_id), ()
        finally:
            self.metrics.in_progress.dec()
        response_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (REQUEST_ID_HEADER, request_id.encode()),
            *more,
        ]
        await send({"type": "http.response.start", "status": status, "headers": response_headers})
        await send({"type": "http.response.body", "body": body})
        seconds = time.monotonic() - started
        access.log(status, seconds, body)
        self.metrics.ended(path, outcome, seconds)

    async def forward(self, application: ASGIApp, scope: Scope, receive: Receive, send: Send, *, own: bool) -> None:
        """Let the framework's application answer, with a request id and a log line as for all requests.

        :param own: whether it is one of the server's own pages, which metrics do not count.
        """
        started = time.monotonic()
        request_id = new_request_id()
        set_request_ids(request_id, pick_headers(scope["headers"]).get(REQUEST_ID_HEADER))
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
        seconds = time.monotonic() - started
        AccessLine(scope["method"], scope["path"], self.peer_of(scope), polled=own).log(statuses[0], seconds)
        if not own:
            self.metrics.ended(scope["path"], scope.get(ERROR_TYPE, 200), seconds)

    def peer_of(self, scope: Scope) -> str:
        """Return the address of who asked; empty if it is not known."""
        client = scope["client"]
        sender: str = client[0] if client else ""
        return forwarded_peer(sender, scope["headers"], self.trusted_proxies) if self.trusted_proxies else sender

    async def read(self, headers: Mapping[bytes, str], receive: Receive, budget: float) -> bytes:
        """Read the body within the limits of size and time.

        :param budget: seconds that are left for the whole request.
        :raises UnsupportedMediaType: its headers do not say that it is JSON.
        :raises BodyTooLarge: it has, or its headers declare, more than ``max_body_bytes``.
        :raises BodyTimeout: it takes longer than ``body_timeout`` or the budget.
        """
        if not is_json(headers.get(b"content-type", ""), headers.get(b"content-encoding", "identity")):
            raise UnsupportedMediaType("the body must be application/json in UTF-8, not encoded")
        if int(headers.get(b"content-length", "0")) > self.max_body_bytes:
            raise BodyTooLarge(f"the body has more than {self.max_body_bytes} bytes")
        body = read_all(receive, self.max_body_bytes)
        try:
            pending = body.send(None)
        except StopIteration as done:  # it came with the headers; a timer takes 7 % of a request
            return bytes(done.value)
        try:
            async with asyncio.timeout(min(self.body_timeout, budget)):
                return await resume(body, pending)
        except TimeoutError:
            raise BodyTimeout("the body came too slowly") from None
        finally:
            body.close()


@coroutine
def resume(begun: Coroutine[Any, Any, bytes], pending: Any) -> Generator[Any, Any, bytes]:
    """Await the rest of a coroutine whose first step this task has made.

    :param pending: what that step returned to be waited for.
    """
    yield pending
    return (yield from begun.__await__())


def error_body(error: VendordataError, request_id: str) -> bytes:
    """Return the JSON of an error, in the shape whose message keystoneauth1 shows in Nova's log."""
    fields = {"code": error.code, "title": error.title, "message": error.message, "request_id": request_id}
    return json.dumps({"error": fields}).encode()


@lru_cache(maxsize=512)
def max_age(seconds: int) -> Headers:
    """Return the header that states how many seconds an answer may be reused (RFC 9111, 5.2.2)."""
    return ((b"cache-control", b"private, max-age=%d" % seconds),)


async def read_all(receive: Receive, limit: int) -> bytes:
    """Read a body of at most so many bytes."""
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
    """Return the headers of :data:`READ`, repeated ones joined (RFC 9110, 5.3): two tokens become a malformed one."""
    picked: dict[bytes, str] = {}
    for name, value in headers:
        if name in READ:
            text = value.decode("latin-1")
            picked[name] = f"{picked[name]}, {text}" if name in picked else text
    return picked


@lru_cache(maxsize=128)
def is_json(content_type: str, content_encoding: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [each.partition("=")[2].strip('"') for each in parameters if each.startswith("charset=")]
    return media_type == "application/json" and set(charsets) <= {"utf-8", "utf8"} and content_encoding == "identity"
