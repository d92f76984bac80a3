"""One POST to a server that may send anything: what is undone, and where it is cut."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from tests.support.raw_upstream import raw_upstream
from tests.support.serving import free_port, run
from tests.support.upstreams import Other
from vendorsrv.proxy.client import CannotConnect, Upstream, decode
from vendorsrv.proxy.connection import Reply, TooLarge, UpstreamFailure
from vendorsrv.proxy.options import tls_context
from vendorsrv.testing.misbehaviour import body, hangs_up, raw, sends
from vendorsrv.testing.upstream import FakeUpstream, Received
from vendorsrv.testing.upstream import Reply as Answer

TEXT = b'{"a": 1}'


def raw_deflate(content: bytes) -> bytes:
    """What some servers call deflate."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(content) + stream.flush()


def gzipped(content: bytes) -> bytes:
    """Return a gzip file without the time, which would change the names of the tests."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzipped(TEXT)),
        ("X-GZIP ", gzipped(TEXT)),
        ("gzip", gzipped(TEXT[:3]) + gzipped(TEXT[3:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
)
def test_requested_content_encodings_are_decoded(encoding: str, content: bytes) -> None:
    """Content in gzip and in either kind of deflate is decoded."""
    assert TEXT == run(decode(content, encoding, 100))


def test_an_empty_body_needs_no_decoding() -> None:
    """An empty body is empty, whatever Content-Encoding says."""
    assert b"" == run(decode(b"", "gzip", 100))


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", TEXT),
        ("gzip", gzipped(TEXT)[:-1]),
        ("gzip", gzipped(TEXT) + b"rubbish"),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("br", TEXT),
        ("gzip, gzip", gzipped(gzipped(TEXT))),
    ],
)
def test_a_broken_or_unknown_encoding_is_unreadable(encoding: str, content: bytes) -> None:
    """Broken, truncated and unrequested encodings raise UpstreamFailure."""
    with pytest.raises(UpstreamFailure, match="content encoding"):
        run(decode(content, encoding, 100))


def test_decoding_takes_turns_with_other_work() -> None:
    """Half a megabyte is decoded in many steps, and other work has a turn between two of them."""

    async def decode_beside() -> tuple[bytes, int]:
        decoding = asyncio.create_task(decode(gzip.compress(content, compresslevel=0), "gzip", 2**20))
        turns = 0
        while not decoding.done():
            await asyncio.sleep(0)
            turns += 1
        return await decoding, turns

    content = b"x" * 2**19
    decoded, turns = run(decode_beside())
    assert content == decoded
    assert turns > 30


def test_many_compressed_streams_are_refused() -> None:
    """An answer of 100 streams is decoded; one of 50,000 raises UpstreamFailure, though all are empty."""
    assert b"x" * 100 == run(decode(gzipped(b"x") * 100, "gzip", 2**20))
    with pytest.raises(UpstreamFailure, match="more than 100 compressed streams"):
        run(decode(gzipped(b"") * 50_000, "gzip", 2**20))


def test_decoding_stops_at_the_limit() -> None:
    """100 MB of zeros in 100 KB raise TooLarge, and take little memory."""
    bomb = gzipped(b"\0" * 100 * 2**20)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        run(decode(bomb, "gzip", 2**20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def new_upstream(connect_timeout: float = 60.0, read_timeout: float = 60.0) -> Upstream:
    """Return a pool for answers of up to 1,000 bytes."""
    return Upstream(
        tls_context(None, None, None),
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_bytes=1000,
        silence=0.0,
    )


async def posted(
    url: str,
    *,
    times: int = 1,
    between: Callable[[], None] = lambda: None,
    connect_timeout: float = 60.0,
    read_timeout: float = 60.0,
) -> Reply:
    """Ask so many times with one pool, and give the last answer."""
    upstream = new_upstream(connect_timeout, read_timeout)
    try:
        for _ in range(times - 1):
            await upstream.post(url, {}, b"{}")
            between()
        return await upstream.post(url, {}, b"{}")
    finally:
        await upstream.close()


def failure(url: str, connect_timeout: float = 60.0, read_timeout: float = 60.0) -> type[Exception]:
    """Say how asking failed."""
    with pytest.raises((UpstreamFailure, TimeoutError)) as caught:
        run(posted(url, connect_timeout=connect_timeout, read_timeout=read_timeout))
    return caught.type


def test_repeated_headers_are_joined() -> None:
    """Values of a repeated header are joined by commas."""
    with FakeUpstream() as peer:
        peer.routes["/"] = sends(raw(200, TEXT, Vary="A\r\nVARY: B"))
        assert "A, B" == run(posted(f"{peer.url}/")).headers["vary"]


def test_an_answer_over_the_limit_is_too_large() -> None:
    """A body over the limit raises TooLarge."""
    with FakeUpstream() as peer:
        peer.routes["/"] = body(b"x" * 1001)
        assert TooLarge is failure(f"{peer.url}/")


def test_a_refused_connection_cannot_connect() -> None:
    """A closed port raises CannotConnect."""
    assert CannotConnect is failure(f"http://127.0.0.1:{free_port()}/")


def test_a_silent_server_is_too_slow() -> None:
    """A server that accepts and sends nothing raises TimeoutError after ``read_timeout``."""
    with Other() as other:
        other.delay = 60.0
        assert TimeoutError is failure(other.url, read_timeout=0.1)


def test_a_connection_that_is_not_accepted_is_too_slow() -> None:
    """A full backlog raises TimeoutError after ``connect_timeout``."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        assert TimeoutError is failure(f"http://127.0.0.1:{address[1]}/", connect_timeout=0.1)


def test_a_request_on_a_new_connection_is_not_repeated() -> None:
    """A server that closes a new connection raises UpstreamFailure after one request."""
    with FakeUpstream() as peer:
        peer.routes["/"] = hangs_up
        assert UpstreamFailure is failure(f"{peer.url}/")
        assert 1 == len(peer.received)


def test_a_request_on_an_idle_connection_is_repeated_once() -> None:
    """A request that an idle connection lost is sent again on a new one; if that fails too, there is no answer."""

    def swallow(_: Received) -> Answer:
        if len(other.received) in {2, 3}:
            raise ConnectionError
        return Answer()

    with Other() as other:
        other.reply = swallow
        with pytest.raises(UpstreamFailure):
            run(posted(other.url, times=2))
        assert 3 == len(other.received)
        other.received.clear()
        assert 200 == run(posted(other.url)).status


def test_a_closed_idle_connection_is_replaced() -> None:
    """A connection that the server closed while idle is replaced, and the answer arrives."""
    with Other() as other:

        def hang_up() -> None:
            assert other.server is not None
            other.server.hang_up()

        assert 200 == run(posted(other.url, times=3, between=hang_up)).status
        assert 3 == other.connections


def test_a_connection_that_is_in_use_when_its_pool_closes_ends_with_its_answer() -> None:
    """Nothing stays open: a worker that stops may still have requests in progress."""

    async def ask() -> bytes:
        upstream = new_upstream()
        async with raw_upstream(lambda _: raw(200, TEXT)) as server:
            asked = asyncio.create_task(upstream.post(server.url, {}, b"A"))
            await server.connected.wait()
            await upstream.close()
            reply = await asked
            async with asyncio.timeout(60.0):
                await server.ended.wait()
        return reply.body

    assert TEXT == run(ask())
