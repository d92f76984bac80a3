"""uvicorn's HTTP/1.1 protocol, with limits for what a client sends, and one write for a response that is whole."""

from __future__ import annotations

import asyncio
import logging
import time
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from vendorsrv.errors import BadRequest, VendordataError
from vendorsrv.peers.connections import Connection
from vendorsrv.server.endpoint import REQUEST_ID_HEADER, error_body
from vendorsrv.server.framing import CHUNKED, MOST, Framing
from vendorsrv.telemetry.logs import RareLine, new_request_id
from vendorsrv.telemetry.metrics import RequestMetrics

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent

LOG = logging.getLogger(__name__)
#: Seconds for a head to come whole: from the start of the connection, or from its first byte.
HEAD_TIMEOUT: Final = 10.0
#: Seconds without progress after which a response that the client does not read is given up.
WRITE_TIMEOUT: Final = 10.0
#: Seconds and bytes for which a connection is read after its last response, if the client may still be sending: closed
#: at once, it would be reset, and the client might never see the response (RFC 9112, section 9.6).
LINGER: Final = 1.0
MOST_DROPPED: Final = 2**20
CLOSE: Final = (b"connection", b"close")
#: Headers that do not change how a response is framed; one with any other header is left to uvicorn.
PLAIN_HEADERS: Final = frozenset(
    b"allow cache-control content-type date retry-after www-authenticate x-openstack-request-id".split()
)
#: What no header's value may hold: all control characters except the tab (RFC 9110, section 5.5).
CONTROL_CHARACTERS: Final = bytes({*range(0x20), 0x7F} - {0x09})


class Cycle(RequestResponseCycle):
    """One request and its response.

    uvicorn writes head and body separately, and checks each header by two regular expressions. One write saves a tenth
    of a request that is answered from the cache.
    """

    held_start: HTTPResponseStartEvent | None = None
    protocol: Protocol

    async def send(self, message: ASGISendEvent) -> None:
        """Hold the head back until the first part of the body comes; write both if that is all."""
        if message["type"] == "http.response.start" and not self.response_started:
            self.held_start = message
            return
        start, self.held_start = self.held_start, None
        if start is not None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                body = message.get("body", b"")
                if self.is_everyday(start["status"]) and (head := head_of(start, self.default_headers, len(body))):
                    self.write_whole(head + body)
                    return
            if self.more_body and CLOSE not in (headers := [*start.get("headers", ())]):
                start = {**start, "headers": [*headers, CLOSE]}
            if self.more_body or self.protocol.flow.held:
                self.transport = SimpleNamespace(  # type: ignore[assignment] # of which uvicorn uses these
                    write=self.transport.write, close=self.protocol.linger, is_closing=self.transport.is_closing
                )
            await super().send(start)
        await super().send(message)

    def is_everyday(self, status: int) -> bool:
        """Whether the request is whole, the connection stays open and is writable, and the response has a body."""
        return (
            self.keep_alive
            and not self.more_body
            and CLOSE not in self.scope["headers"]  # which keep_alive does not know before uvicorn 0.53
            and not self.disconnected
            and not self.flow.write_paused
            and not self.access_log
            and self.scope["method"] != "HEAD"
            and status not in (204, 304)
        )

    def write_whole(self, response: bytes) -> None:
        """Write a response and go on to the next request of the connection."""
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(response)
        self.message_event.set()
        self.on_response()


def head_of(start: HTTPResponseStartEvent, default_headers: list[tuple[bytes, bytes]], length: int) -> bytes | None:
    """Return the head of a response whose body has this length; None if a header is one that uvicorn has to check."""
    parts = [STATUS_LINE[start["status"]]]
    values, lengths = [], []
    for name, value in default_headers + list(start.get("headers", ())):
        if name == b"content-length":
            lengths.append(value)
        elif name not in PLAIN_HEADERS:
            return None
        values.append(value)
        parts += (name, b": ", value, b"\r\n")
    text = b"".join(values)
    if lengths != [b"%d" % length] or text != text.translate(None, CONTROL_CHARACTERS):
        return None
    parts.append(b"\r\n")
    return b"".join(parts)


class Flow(FlowControl):
    """Whether a connection is read from: not while bytes of it are held back from the parser.

    :ivar held: these bytes.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = bytearray()

    def resume_reading(self) -> None:
        """Read on, unless bytes are held back."""
        if not self.held:
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """One connection.

    :ivar connection: its place among all, unless another than :class:`vendorsrv.server.acceptor.Acceptor` accepted it.
    :ivar metrics: counts the requests that are refused here.
    :ivar unsent: the bytes that the client had not taken when they were looked at, and since when it has taken none.
    :ivar lingering: the timer that ends it, once its last response is written and the client may still be sending.
    """

    connection: Connection | None = None
    metrics: RequestMetrics | None = None
    unsent = 0, 0.0
    lingering: asyncio.TimerHandle | None = None
    dropped = 0
    flow: Flow
    cycle: Cycle
    refusals = RareLine(LOG, "answered %d to %s and closed the connection: %s")

    # uvicorn has no option for the class of its cycle: this is its own method, in which that name is ours. Another
    # class given to each cycle later makes the access to all its attributes slower than one write can save.
    on_headers_complete = FunctionType(
        HttpToolsProtocol.on_headers_complete.__code__, {**vars(httptools_impl), "RequestResponseCycle": Cycle}
    )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin; the client is the peer, whom a trusted proxy may have named."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self.framing = Framing()
        if self.connection is not None and self.client is not None:
            self.client = self.connection.peer, self.client[1]
            self.connection.is_idle = lambda: self.is_idle

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and make room for another connection."""
        super().connection_lost(None)
        if self.lingering:
            self.lingering.cancel()
        if self.connection is not None:
            self.connection.leave()
            self.connection = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Parse what has come, but for what belongs to a next request, or is too much for one turn of the loop."""
        if self.lingering:
            self.dropped += len(data)
            if self.dropped > MOST_DROPPED:
                self.transport.close()
        elif self.flow.held or not (self.framing.left or self.is_idle):
            self.flow.held += data
            self.flow.pause_reading()
        elif rest := self.parse(data):
            self.flow.held += rest
            self.flow.pause_reading()
            if self.framing.left:
                self.loop.call_soon(self.parse_held)

    def parse_held(self) -> None:
        """Go on with what was held back."""
        if self.lingering or self.transport.is_closing():
            return
        held = self.flow.held
        data = bytes(held[:MOST])
        del held[: len(data) - len(self.parse(data))]
        if held and (self.framing.left or self.is_idle):
            self.loop.call_soon(self.parse_held)
        elif self.is_idle or len(self.cycle.body) <= HIGH_WATER_LIMIT:  # else when the application has taken it
            self.flow.resume_reading()

    def parse(self, data: bytes) -> bytes:
        """Parse the next part of a request, or refuse it; return what is not parsed yet."""
        try:
            if not self.framing.left:
                data = self.parse_head(data)
            if self.framing.left and data:
                data = self.parse_body(data)
        except HttpParserError:
            self.refuse(BadRequest("the request is not valid HTTP"))
        except VendordataError as error:
            self.refuse(error)
        return b"" if self.lingering else data

    def parse_head(self, data: bytes) -> bytes:
        head, data = self.framing.split_head(data)
        if head:
            try:
                self.parser.feed_data(head)
            except HttpParserUpgrade:  # to what is not spoken here, so what follows is no request
                self.cycle.keep_alive = False
            self.cycle.protocol = self
            self.headers = []  # trailers are not the application's
            if self.cycle.more_body:
                self.framing.expect_body(self.scope["headers"])
        return data

    def parse_body(self, data: bytes) -> bytes:
        cycle, part, data = self.cycle, *self.framing.split_body(data)
        before = len(cycle.body)
        try:
            self.parser.feed_data(part)
        except HttpParserError:
            if cycle.more_body:
                raise
        if self.framing.left == CHUNKED:
            self.framing.count_chunks(len(part), len(cycle.body) - before, whole=not cycle.more_body)
            if self.scope is not cycle.scope:  # something more has begun in the same part; where is not known
                cycle.keep_alive = False
                self.cycle = cycle
                self.pipeline.clear()
        return data

    def refuse(self, error: VendordataError) -> None:
        """Answer that this can be no request, and linger."""
        self.refusals.warn(error.status, self.client and self.client[0], error.message)
        if self.metrics:
            self.metrics.ended("", type(error), 0.0)
        if not self.is_idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        request_id = new_request_id()
        body = error_body(error, request_id)
        self.transport.write(
            b"%scontent-type: application/json\r\ncontent-length: %d\r\n%s: %s\r\nconnection: close\r\n\r\n%s"
            % (STATUS_LINE[error.status], len(body), REQUEST_ID_HEADER, request_id.encode(), body)
        )
        self.linger()

    def linger(self) -> None:
        """Close the connection, after the client has had the time to read the response."""
        self.lingering = self.loop.call_later(LINGER, self.transport.close)
        self.flow.held.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # TLS cannot
            self.transport.write_eof()

    def on_response_complete(self) -> None:
        """Go on to the next request, or be idle; instead of a timer for each response there is :meth:`look`."""
        self.server_state.total_requests += 1
        if self.lingering or self.transport.is_closing():
            return
        self.framing.since = time.monotonic()
        if self.connection is not None:
            self.connection.rest()
        if self.flow.held:
            self.loop.call_soon(self.parse_held)
        else:
            self.flow.resume_reading()

    def look(self, now: float) -> None:
        """End the connection if its client keeps it waiting for too long; called once a second, with monotonic time."""
        unsent, since = self.transport.get_write_buffer_size(), self.unsent[1]
        if not unsent or unsent != self.unsent[0]:
            self.unsent = unsent, now
        elif now - since > WRITE_TIMEOUT:
            self.transport.abort()
        if self.is_idle and not self.lingering:
            waits_for_head = self.framing.head or self.cycle is None
            if now - self.framing.since > (HEAD_TIMEOUT if waits_for_head else self.timeout_keep_alive):
                self.transport.close()
