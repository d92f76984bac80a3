"""The protocol of a connection: the same bytes as uvicorn's own, in one write where the response is whole."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.support.fixtures import House
from tests.support.waiting import wait_until
from vendorsrv.server.protocol import Protocol

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
REQUEST: Final = b"POST /mail HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}"
HEADERS: Final = ((b"content-type", b"application/json"), (b"content-length", b"2"))
DATE: Final = (b"date", b"Thu, 26 Nov 2026 01:00:00 GMT")


class Recorder(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep one write."""
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def abort(self) -> None:
        """Close it at once."""
        self.closed = True

    def can_write_eof(self) -> bool:
        """The client cannot be told that nothing more will come, as with TLS."""
        return False

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


def start(status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = HEADERS) -> Message:
    """Return the message that begins a response."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(part: bytes = b"{}", *, more: bool = False) -> Message:
    """Return the message of a part of the body."""
    return {"type": "http.response.body", "body": part, "more_body": more}


def sending(*messages: Message) -> Application:
    """Return an application that answers every request by these messages."""

    async def application(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send({**message})

    return application


def exchange(
    kind: type[HttpToolsProtocol],
    application: Application,
    received: bytes = REQUEST,
    *defaults: tuple[bytes, bytes],
    paused: bool = False,
    more: bytes = b"",
) -> Recorder:
    """Let a protocol answer what a client sends, and return the connection's transport.

    :param more: comes once the application has begun.
    """

    async def run() -> Recorder:
        transport, state = Recorder(), ServerState()
        state.default_headers = [DATE, *defaults]
        config = uvicorn.Config(application, http=kind, ws="none", log_config=None, access_log=False)
        protocol = kind(config, state, {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        if paused:
            protocol.pause_writing()
        protocol.data_received(received)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if more:
            protocol.data_received(more)
        protocol.resume_writing()
        while state.tasks:
            await asyncio.gather(*state.tasks)
        return transport

    return asyncio.run(run())


WHOLE: Final = sending(start(), body())
ERROR: Final = ((b"retry-after", b"1"), *HEADERS)


@pytest.mark.parametrize("application", [WHOLE, sending(start(503, ERROR), body())], ids=["200", "503"])
def test_a_whole_response_is_one_write(application: Application) -> None:
    """Head and body of a response leave the server together, with the bytes that uvicorn writes in two."""
    own, uvicorns = exchange(Protocol, application), exchange(HttpToolsProtocol, application)
    assert 1 == len(own.writes)
    assert uvicorns.writes == [own.writes[0].removesuffix(b"{}"), b"{}"]
    assert not own.closed


@pytest.mark.parametrize("later", [b"", REQUEST])
def test_requests_of_a_pipeline_are_answered_in_order(later: bytes) -> None:
    """Each pipelined request gets its own response in one write, also one that comes later, and nothing is closed."""
    own = exchange(Protocol, WHOLE, REQUEST * 3, paused=True, more=later)
    assert exchange(Protocol, WHOLE).writes[0] * (4 if later else 3) == b"".join(own.writes)
    assert not own.closed


KEEP_ALIVE: Final = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
OTHERS: Final[Mapping[str, tuple[Application, bytes, tuple[tuple[bytes, bytes], ...]]]] = {
    "HTTP/1.0": (WHOLE, REQUEST.replace(b"1.1", b"1.0"), ()),
    "HTTP/1.0 with keep-alive": (WHOLE, KEEP_ALIVE, ()),
    "HEAD": (WHOLE, b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n", ()),
    "the client closes": (WHOLE, REQUEST.replace(b"Host", b"Connection: close\r\nHost"), ()),
    "the server stops": (WHOLE, REQUEST, ((b"connection", b"close"),)),
    "204": (sending(start(204, ()), body(b"")), REQUEST, ()),
    "304": (sending(start(304, ()), body(b"")), REQUEST, ()),
    "no length": (sending(start(headers=()), body()), REQUEST, ()),
    "a length twice": (sending(start(headers=HEADERS + HEADERS[1:]), body()), REQUEST, ()),
    "chunks": (sending(start(headers=((b"transfer-encoding", b"chunked"),)), body()), REQUEST, ()),
    "two parts": (sending(start(), body(b"{", more=True), body(b"}")), REQUEST, ()),
    "another header": (sending(start(headers=((b"server", b"other"), *HEADERS)), body()), REQUEST, ()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_responses_are_left_to_uvicorn(name: str) -> None:
    """A response that is not whole, or whose connection or head is not the usual one, is written by uvicorn."""
    application, received, defaults = OTHERS[name]
    own, uvicorns = (exchange(kind, application, received, *defaults) for kind in (Protocol, HttpToolsProtocol))
    assert (uvicorns.writes, uvicorns.closed) == (own.writes, own.closed)


@pytest.mark.parametrize(
    "wrong",
    [
        start(headers=((b"allow", b"POST\r\nSet-Cookie: a=b"), *HEADERS)),
        start(headers=((b"allow", b"\0"), *HEADERS)),
        start(headers=((b"content-length", b"3"),)),
        start(headers=((b"content-length", b"1"),)),
    ],
    ids=["a line break in a header", "a NUL in a header", "too short", "too long"],
)
def test_a_malformed_response_is_refused_as_by_uvicorn(wrong: Message, caplog: pytest.LogCaptureFixture) -> None:
    """A header with a control character, or a body of another length than declared, does not reach the client whole."""
    own, uvicorns = (exchange(kind, sending(wrong, body())) for kind in (Protocol, HttpToolsProtocol))
    assert (uvicorns.writes, uvicorns.closed) == (own.writes, own.closed)
    assert 2 == caplog.text.count("RuntimeError: ")


@pytest.mark.parametrize("messages", [(), (start(),), (body(),)], ids=["nothing", "no body", "no head"])
def test_an_incomplete_response_is_500(messages: tuple[Message, ...], caplog: pytest.LogCaptureFixture) -> None:
    """An application that returns or fails before the body has begun is answered 500, and the connection is closed."""
    own = exchange(Protocol, sending(*messages))
    assert b"".join(own.writes).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert own.closed
    assert "ASGI" in caplog.text


def test_a_client_that_does_not_read_is_waited_for() -> None:
    """Nothing is written while the client's side is full."""
    assert exchange(Protocol, WHOLE).writes == [b"".join(exchange(Protocol, WHOLE, paused=True).writes)]


def test_a_response_that_has_begun_is_cut_off_when_the_request_breaks() -> None:
    """What follows a malformed chunk is no second response behind the begun one: the connection ends."""

    async def application(_: Scope, receive: Receive, send: Send) -> None:
        await send(start(headers=()))
        await send(body(b"{", more=True))
        assert {"type": "http.disconnect"} == await receive()

    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    own = exchange(Protocol, application, chunked, more=b"no chunk\r\n")
    assert (True, 1) == (own.closed, b"".join(own.writes).count(b"HTTP/1.1"))


def test_a_client_that_has_left_gets_nothing() -> None:
    """A response to a closed connection is dropped."""
    found: list[Protocol] = []

    async def application(_: Scope, receive: Receive, send: Send) -> None:
        found[0].connection_lost(None)
        assert {"type": "http.disconnect"} == await receive()
        await send(start())
        await send(body())

    class Known(Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            found.append(self)
            super().connection_made(transport)

    assert [] == exchange(Known, application).writes


def test_a_connection_that_was_reset_is_forgotten(house: House) -> None:
    """Nothing keeps a connection in memory after the client has reset it, no timer of an idle connection either."""
    others = set(house.server.uvicorn.server_state.connections)
    with socket.create_connection(("127.0.0.1", house.server.port)) as client:
        client.sendall(b"GET /-/live HTTP/1.1\r\nHost: here\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        (served,) = (weakref.ref(each) for each in house.server.uvicorn.server_state.connections - others)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: gc.collect() >= 0 and served() is None)
