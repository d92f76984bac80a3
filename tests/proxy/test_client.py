"""One POST to a server that may send anything: what is undone, and where it is cut."""

from __future__ import annotations

import contextlib
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from tests.support.serving import free_port, run
from tests.support.upstreams import Other
from vendorsrv.proxy.client import (
    BrokenOff,
    CannotConnect,
    Reply,
    TooLarge,
    TooSlow,
    Unreadable,
    Upstream,
    UpstreamFailure,
    decode,
)
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
def test_content_encodings(encoding: str, content: bytes) -> None:
    """Those that were asked for are undone, as the field writes them."""
    assert TEXT == decode(content, encoding, 100)


def test_nothing_has_no_encoding() -> None:
    """An empty body is empty, whatever the header says."""
    assert b"" == decode(b"", "gzip", 100)


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
def test_encodings_that_cannot_be_undone(encoding: str, content: bytes) -> None:
    """Broken, cut short, or never asked for."""
    with pytest.raises(Unreadable):
        decode(content, encoding, 100)


def test_a_bomb_is_not_unpacked() -> None:
    """100 MB of zeros in 100 KB: no more of it is made than allowed."""
    bomb = gzipped(b"\0" * 100 * 2**20)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decode(bomb, "gzip", 2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


async def posted(
    url: str,
    *,
    times: int = 1,
    between: Callable[[], None] = lambda: None,
    connect_timeout: float = 60.0,
    read_timeout: float = 60.0,
) -> Reply:
    """Ask so many times with one pool, and give the last answer."""
    upstream = Upstream(
        tls_context(None, None, None),
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        max_bytes=1000,
    )
    try:
        for _ in range(times - 1):
            await upstream.post(url, {}, b"{}")
            between()
        return await upstream.post(url, {}, b"{}")
    finally:
        await upstream.close()


def failure(url: str, connect_timeout: float = 60.0, read_timeout: float = 60.0) -> type[UpstreamFailure]:
    """Say how asking failed."""
    with pytest.raises(UpstreamFailure) as caught:
        run(posted(url, connect_timeout=connect_timeout, read_timeout=read_timeout))
    return caught.type


def test_repeated_headers_are_one() -> None:
    """Joined by commas, by lower-case name."""
    with FakeUpstream() as peer:
        peer.routes["/"] = sends(raw(200, TEXT, Vary="A\r\nVARY: B"))
        assert "A, B" == run(posted(f"{peer.url}/")).headers["vary"]


def test_too_much_is_cut() -> None:
    """However much more there is."""
    with FakeUpstream() as peer:
        peer.routes["/"] = body(b"x" * 1001)
        assert TooLarge is failure(f"{peer.url}/")


def test_nobody_listens() -> None:
    """The connection is refused."""
    assert CannotConnect is failure(f"http://127.0.0.1:{free_port()}/")


def test_nobody_speaks() -> None:
    """The connection stands, and nothing comes."""
    with Other() as other:
        other.delay = 60.0
        assert TooSlow is failure(other.url, read_timeout=0.1)


def test_no_connection_in_time() -> None:
    """A server that takes no connection out of its full queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        assert TooSlow is failure(f"http://127.0.0.1:{address[1]}/", connect_timeout=0.1)


def test_a_new_connection_that_is_closed_is_a_failure() -> None:
    """Nothing is asked twice but what did not arrive."""
    with FakeUpstream() as peer:
        peer.routes["/"] = hangs_up
        assert BrokenOff is failure(f"{peer.url}/")
        assert 1 == len(peer.received)


def test_a_request_that_a_kept_connection_swallowed_is_sent_again() -> None:
    """The server closed it while the request was on its way; once, and only on a connection that was kept."""

    def swallow(_: Received) -> Answer:
        if len(other.received) in {2, 3}:
            raise ConnectionError
        return Answer()

    with Other() as other:
        other.reply = swallow
        with pytest.raises(BrokenOff):
            run(posted(other.url, times=2))
        assert 3 == len(other.received)
        other.received.clear()
        assert 200 == run(posted(other.url)).status


def test_a_kept_connection_that_is_closed_is_asked_again() -> None:
    """And the answer comes over a new one."""
    with Other() as other:

        def hang_up() -> None:
            assert other.server is not None
            other.server.hang_up()

        assert 200 == run(posted(other.url, times=3, between=hang_up)).status
        assert 3 == other.connections
