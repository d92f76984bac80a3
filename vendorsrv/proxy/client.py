"""One POST to another server: kept-alive connections, no redirects, and an answer that is cut at its limit."""

from __future__ import annotations

import logging
import ssl
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

#: Seconds for which an idle connection is kept: most servers close theirs after 5.
KEEP_ALIVE: Final = 4.0
IDLE_CONNECTIONS: Final = 64
CONNECTED: Final = "connection.connect_tcp.started"
ANSWERED: Final = "http11.receive_response_headers.complete"
#: Below warnings these log each URL and the headers of each answer.
TALKATIVE: Final = ("httpx", "httpcore")
#: zlib's window for what Accept-Encoding asks for; of "deflate" there are two kinds in the field.
WINDOWS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


class UpstreamFailure(Exception):
    """There is no answer; the text is for an operator, and holds nothing of request or answer."""


class CannotConnect(UpstreamFailure):
    """Nobody is there, or nobody with a certificate that is trusted."""


class TooSlow(UpstreamFailure):
    """Connecting, or one piece of the answer, took too long."""


class BrokenOff(UpstreamFailure):
    """The connection ended, or what came is no HTTP."""


class TooLarge(UpstreamFailure):
    """The answer is longer than allowed."""


class Unreadable(UpstreamFailure):
    """The answer's content encoding is broken, or not one that was asked for."""


class Reply(NamedTuple):
    """An answer as it came, with its content encoding undone.

    :ivar headers: by lower-case name, repeated ones joined by commas.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """A pool of connections, for one proxy and worker.

    :param tls: what certificates are checked with, and shown.
    :param connect_timeout: seconds, for each address of the name.
    :param read_timeout: seconds between two pieces of an answer; None is no limit here.
    :param max_bytes: of an answer, encoded and decoded.
    """

    def __init__(
        self, tls: ssl.SSLContext, *, connect_timeout: float, read_timeout: float | None, max_bytes: int
    ) -> None:
        # A server without a proxy starts without it, and has 7 MB less in each worker.
        import httpx

        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self.max_bytes = max_bytes
        self.client = httpx.AsyncClient(
            verify=tls,
            trust_env=False,  # nothing but the configuration says where a request, and its token, goes
            follow_redirects=False,
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout, pool=None),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=KEEP_ALIVE
            ),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Ask, and once more when a kept connection turns out to be closed: then the server did not want the request.

        :raises UpstreamFailure: there is no answer, or none that can be read.
        """
        import httpx

        # What a connection that was kept too long ends with, before anything of an answer has come.
        dropped = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
        try:
            seen: set[str] = set()
            try:
                return await self.send(url, headers, body, seen)
            except dropped:
                if {CONNECTED, ANSWERED} & seen:
                    raise
                return await self.send(url, headers, body, set())
        except httpx.ConnectTimeout:
            raise TooSlow("no connection within connect_timeout") from None
        except httpx.TimeoutException:
            raise TooSlow("nothing came within read_timeout") from None
        except httpx.ConnectError as error:
            raise CannotConnect(str(error)) from None
        except (httpx.TransportError, OSError) as error:  # httpx lets some of TLS's own errors through
            raise BrokenOff(f"{type(error).__name__}: {error}") from None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, seen: set[str]) -> Reply:
        async def note(event: str, _: Any) -> None:
            seen.add(event)

        async with self.client.stream(
            "POST", url, headers=dict(headers), content=body, extensions={"trace": note}
        ) as response:
            content = b""
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > self.max_bytes:
                    raise TooLarge(f"the answer has more than {self.max_bytes} bytes")
            picked = {name.lower(): value for name, value in response.headers.items()}
            decoded = decode(content, picked.get("content-encoding", ""), self.max_bytes)
            return Reply(response.status_code, picked, decoded)


def decode(content: bytes, encoding: str, limit: int) -> bytes:
    """Undo a content encoding, and make no more of it than allowed.

    :raises Unreadable: it is broken, cut short, or unknown.
    :raises TooLarge: the decoded content is longer than the limit.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"} or not content:
        return content
    for window in WINDOWS.get(name, ()):
        try:
            return inflate(content, window, limit)
        except (zlib.error, EOFError):
            continue
    raise Unreadable("the answer's content encoding is broken, or not one that was asked for")


def inflate(content: bytes, window: int, limit: int) -> bytes:
    """Decompress one stream, or several one after the other (RFC 1952, 2.2)."""
    decoded = b""
    while content:
        stream = zlib.decompressobj(window)
        decoded += stream.decompress(content, limit + 1 - len(decoded))
        if len(decoded) > limit:
            raise TooLarge(f"the answer has more than {limit} bytes when it is decoded")
        if not stream.eof:
            raise EOFError
        content = stream.unused_data if stream.unused_data != content else b""
    return decoded
