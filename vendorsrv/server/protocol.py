"""uvicorn's HTTP/1.1 protocol, with one write for a response that is whole."""

from __future__ import annotations

import asyncio
from types import FunctionType
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from vendorsrv.peers.connections import Connection

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent

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
            await super().send(start)
        await super().send(message)

    def is_everyday(self, status: int) -> bool:
        """Whether the connection stays open and can be written to now, and the response has a body."""
        return (
            self.keep_alive
            and (b"connection", b"close")
            not in self.scope["headers"]  # which keep_alive does not know before uvicorn 0.53
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


class Protocol(HttpToolsProtocol):
    """One connection.

    :ivar connection: its place among all, unless another than :class:`vendorsrv.server.acceptor.Acceptor` accepted it.
    """

    connection: Connection | None = None

    # uvicorn has no option for the class of its cycle: this is its own method, in which that name is ours. Another
    # class given to each cycle later makes the access to all its attributes slower than one write can save.
    on_headers_complete = FunctionType(
        HttpToolsProtocol.on_headers_complete.__code__, {**vars(httptools_impl), "RequestResponseCycle": Cycle}
    )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin; the client is the peer, whom a trusted proxy may have named."""
        super().connection_made(transport)
        if self.connection is not None and self.client is not None:
            self.client = self.connection.peer, self.client[1]
            self.connection.is_idle = lambda: self.is_idle

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and make room for another connection.

        uvicorn leaves the timer of an idle connection running after a reset, which keeps the connection in memory: for
        it, the client has closed the connection.
        """
        super().connection_lost(None)
        if self.connection is not None:
            self.connection.leave()
            self.connection = None

    def on_response_complete(self) -> None:
        """Go on to the next request, or be idle."""
        super().on_response_complete()
        if self.connection is not None and self.cycle.response_complete:
            self.connection.rest()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete
