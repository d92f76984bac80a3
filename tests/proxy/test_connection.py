"""What an upstream sends besides one valid answer: it reaches no other request, and holds none up."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from tests.support.raw_upstream import RawUpstream, raw_upstream
from tests.support.serving import run
from vendorsrv.proxy.client import Address, Upstream
from vendorsrv.proxy.connection import TooLarge, UpstreamFailure
from vendorsrv.proxy.options import tls_context

AUTHORITY = trustme.CA()
EVIL = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"evil"'
#: Behind the answer for A: each is more than the answer may have.
SURPLUS = {
    "a second response": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA" + EVIL,
    "a body longer than its length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nAA",
    "a line behind the body": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA\r\n",
    "bytes behind the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n" + EVIL,
    "a 204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 49\r\n\r\n" + EVIL,
    "a 304 with a body": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 49\r\n\r\n" + EVIL,
    "a closing server": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nA" + EVIL,
    "more than a read takes": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA" + EVIL * 10_000,
}


def answer(body: bytes, *lines: str) -> bytes:
    """Return a response with this body and these lines in its head."""
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *lines, "", ""]).encode() + body


def echo(body: bytes) -> bytes:
    """Answer with what was sent."""
    return answer(body)


@asynccontextmanager
async def asking(
    answering: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None, silence: float = 0.0
) -> AsyncIterator[tuple[RawUpstream, Upstream]]:
    """Give a server and a client of it."""
    context = tls_context(None, None, None)
    if tls:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
    upstream = Upstream(context, connect_timeout=60.0, read_timeout=60.0, max_bytes=2**20, silence=silence)
    async with raw_upstream(answering, tls) as server:
        try:
            yield server, upstream
        finally:
            await upstream.close()


def one(response: bytes) -> bytes:
    """Return the body that a client makes of a response."""

    async def ask() -> bytes:
        async with asking(lambda _: response) as (server, upstream):
            return (await upstream.post(server.url, {}, b"A")).body

    return run(ask())


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
def test_surplus_bytes_fail_their_own_request_and_no_other(surplus: bytes, secure: bool) -> None:
    """The request whose answer has surplus bytes fails, and the next one gets its own answer."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if secure else None
    if tls:
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(tls)

    async def ask() -> None:
        async with asking(lambda body: surplus if body == b"A" else echo(body), tls) as (server, upstream):
            assert b"0" == (await upstream.post(server.url, {}, b"0")).body
            for each in (b"B", b"C"):
                with pytest.raises(UpstreamFailure, match="bytes follow the end of the answer"):
                    await upstream.post(server.url, {}, b"A")
                assert each == (await upstream.post(server.url, {}, each)).body
            # One connection for the first two requests, and a new one after each surplus.
            assert 3 == len(server.writers)

    run(ask())


def test_bytes_on_an_idle_connection_end_it() -> None:
    """A second response that arrives after the first one was taken is not the answer of the next request."""

    async def ask() -> None:
        async with asking(echo) as (server, upstream):
            for number in range(3):
                assert b"A" == (await upstream.post(server.url, {}, b"A")).body
                server.writers[-1].write(EVIL)
                assert b"B" == (await upstream.post(server.url, {}, b"B")).body
                assert number + 2 == len(server.writers)

    run(ask())


def test_a_connection_rests_before_it_is_used_again() -> None:
    """A request right after an answer takes another connection, and a later one the first."""

    async def ask() -> None:
        async with asking(echo, silence=3600.0) as (server, upstream):
            for number in range(2):
                await upstream.post(server.url, {}, b"A")
                assert number + 1 == len(server.writers)
            upstream.silence = 0.0
            await upstream.post(server.url, {}, b"A")
            assert 2 == len(server.writers)

    run(ask())


def test_bytes_before_the_request_are_not_its_answer() -> None:
    """A server that sends before it was asked gets no request on that connection."""

    async def ask() -> None:
        async with asking(echo) as (server, upstream):
            server.greeting = EVIL
            connection = await upstream.connect(Address(server.url))
            await connection.changed.wait()
            with pytest.raises(UpstreamFailure, match="bytes arrived before the request was sent"):
                await upstream.exchange(Address(server.url), connection, None, b"")  # type: ignore[arg-type]

    run(ask())


def test_a_connection_that_is_closed_at_once_is_a_failure() -> None:
    """A server that closes before the request was sent gives no answer."""

    async def ask() -> None:
        async with asking(echo) as (server, upstream):
            connection = await upstream.connect(Address(server.url))
            await server.connected.wait()
            server.writers[0].close()
            await connection.changed.wait()
            with pytest.raises(UpstreamFailure, match="the server closed the connection"):
                await upstream.exchange(Address(server.url), connection, None, b"")  # type: ignore[arg-type]

    run(ask())


def test_an_answer_to_half_a_request_is_the_last_one() -> None:
    """A server that answers without having read the request gets the next one on a new connection."""

    async def ask() -> None:
        async with asking(lambda _: answer(b"early")) as (server, upstream):
            server.reads_body = False
            assert b"early" == (await upstream.post(server.url, {}, b"x" * 2**25)).body
            assert [] == upstream.idle

    run(ask())


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nA", b"A"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nA", b"A"),
    ],
    ids=["HTTP/1.0", "close"],
)
def test_a_connection_that_ends_with_its_answer_is_closed(response: bytes, body: bytes) -> None:
    """HTTP/1.0 and ``Connection: close`` are obeyed: the next request takes a new connection."""

    async def ask() -> None:
        async with asking(lambda _: response) as (server, upstream):
            for _ in range(2):
                assert body == (await upstream.post(server.url, {}, b"")).body
            assert 2 == len(server.writers)

    run(ask())


def test_idle_connections_are_bounded() -> None:
    """After a storm of requests at most 64 connections stay open."""

    async def ask() -> None:
        async with asking(echo) as (server, upstream):
            await asyncio.gather(*(upstream.post(server.url, {}, b"A") for _ in range(70)))
            open_ones = [each for each in upstream.idle if each[2].is_usable()]
            assert 64 == len(open_ones) == len(upstream.idle)

    run(ask())


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nAB", "conflicting Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nA", "bad Content-Length"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "beside Content-Length",
        ),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "or in HTTP/1.0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nAXX0\r\n\r\n", "malformed chunk footer$"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nA\n0\n\n", "illegal chunk header|Receive|closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nA", "illegal header line$"),
        (b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n", "continuation line"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "invalid HTTP"),
        (b"secret", "invalid HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + answer(b"A"), "more than 16 interim responses"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20, "Receive buffer too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"x:\r\n" * 2**18, "Receive buffer too long"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nA\r\n" * 20_000, "too many small chunks"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"x:\r\n" * 2**18, "Receive buffer too long"),
    ],
    ids=lambda value: str(value[:70]),
)
def test_an_invalid_or_costly_response_is_refused(response: bytes, reason: str) -> None:
    """What two readers may understand differently, or what has no end, is no answer; the reason quotes none of it."""

    async def ask() -> None:
        async with asking(echo) as (server, upstream):

            def answering(_: bytes) -> bytes:
                asyncio.get_running_loop().call_soon(server.writers[0].write_eof)
                return response

            server.answer = answering
            with pytest.raises(UpstreamFailure, match=reason) as caught:
                await upstream.post(server.url, {}, b"A")
            assert "secret" not in str(caught.value)

    run(ask())


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 16 + answer(b"A"),
        answer(b"A", "Content-Length: 1"),
        answer(b"A", "X: folded", "  value"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\nA\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\n\nA",
    ],
    ids=["interim", "a repeated length", "obs-fold", "a chunk extension and a trailer", "lines that end with LF"],
)
def test_an_unusual_response_is_understood(response: bytes) -> None:
    """What RFC 9110 and 9112 let a client accept is accepted."""
    assert b"A" == one(response)


def test_small_chunks_are_accepted_up_to_a_number() -> None:
    """10,000 chunks of a byte, as an encoder writes them that streams, are one answer."""
    chunks = b"1\r\nA\r\n" * 10_000
    assert b"A" * 10_000 == one(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")


def test_framing_larger_than_an_answer_is_too_large() -> None:
    """A small body in long chunk extensions is cut off at twice the limit."""
    chunk = b"1;" + b"x" * 30_000 + b"\r\nA\r\n"
    with pytest.raises(TooLarge):
        one(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 200)


def test_a_body_that_ends_with_a_reset_is_no_answer() -> None:
    """A body without a length is whole only when the server closes the connection in order."""

    async def ask() -> None:
        async with asking(echo) as (server, upstream):

            def answering(_: bytes) -> bytes:
                lingering = struct.pack("ii", 1, 0)
                server.writers[0].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
                asyncio.get_running_loop().call_soon(server.writers[0].transport.abort)
                return b"HTTP/1.1 200 OK\r\n\r\n1"

            server.answer = answering
            with pytest.raises(UpstreamFailure, match="the connection broke: "):
                await upstream.post(server.url, {}, b"A")

    run(ask())


def test_a_name_that_cannot_be_looked_up_cannot_be_reached() -> None:
    """A host with a label that is too long is a failure as an unknown one is."""

    async def ask() -> None:
        async with asking(echo) as (_, upstream):
            with pytest.raises(UpstreamFailure):
                await upstream.post(f"http://{'x' * 64}.example/", {}, b"")

    run(ask())
