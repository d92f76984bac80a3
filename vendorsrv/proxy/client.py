"""POST to another server: a pool of connections, no redirects, and a limit on the answer's size."""

from __future__ import annotations

import logging
import ssl
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

#: Seconds for which an idle connection stays open: most servers close theirs after 5.
KEEP_ALIVE: Final = 4.0
IDLE_CONNECTIONS: Final = 64
CONNECTED: Final = "connection.connect_tcp.started"
ANSWERED: Final = "http11.receive_response_headers.complete"
#: zlib's windows for the encodings of Accept-Encoding; servers send two kinds of "deflate".
WINDOWS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


class UpstreamFailure(Exception):
    """There is no answer. The message is for the operator; nothing of the request or the answer is in it."""


class CannotConnect(UpstreamFailure):
    """No server is reachable, or none with a trusted certificate."""


class TooLarge(UpstreamFailure):
    """The answer is larger than allowed."""


class Reply(NamedTuple):
    """An answer, with its content encoding decoded.

    :ivar headers: by name in any case, repeated ones joined by commas.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """A pool of connections, for one proxy and worker.

    :param tls: checks the server's certificate, and has ours.
    :param connect_timeout: seconds, for each address of the name.
    :param read_timeout: seconds between two pieces of an answer; None sets no limit.
    :param max_bytes: of an answer, encoded and decoded.
    """

    def __init__(
        self, tls: ssl.SSLContext, *, connect_timeout: float, read_timeout: float | None, max_bytes: int
    ) -> None:
        # Imported here: a server without a proxy starts faster, and saves 7 MB in each worker.
        import httpx

        for name in ("httpx", "httpcore"):  # below WARNING they log each URL and the headers of each answer
            logging.getLogger(name).setLevel(logging.WARNING)
        self.max_bytes = max_bytes
        self.client = httpx.AsyncClient(
            verify=tls,
            trust_env=False,  # only the configuration decides where a request and its token go
            follow_redirects=False,
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout, pool=None),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=KEEP_ALIVE
            ),
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a request; retry it once when an idle connection turns out to be closed: the server did not process it.

        :raises UpstreamFailure: there is no answer, or none that can be read.
        :raises TimeoutError: connecting, or one piece of the answer, took too long.
        """
        import httpx

        # What a request on a connection that was idle for too long fails with, before any of the answer has arrived.
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
            raise TimeoutError("no connection within connect_timeout") from None
        except httpx.TimeoutException:
            raise TimeoutError("no data within read_timeout") from None
        except httpx.ConnectError as error:
            raise CannotConnect(str(error)) from None
        except (httpx.TransportError, OSError) as error:  # httpx does not translate some errors of TLS
            raise UpstreamFailure(f"{type(error).__name__}: {error}") from None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, seen: set[str]) -> Reply:
        async def note(event: str, _: Any) -> None:
            seen.add(event)

        extensions = {"trace": note}
        async with self.client.stream("POST", url, headers=headers, content=body, extensions=extensions) as response:
            content = b""
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > self.max_bytes:
                    raise TooLarge(f"the answer has more than {self.max_bytes} bytes")
            decoded = decode(content, response.headers.get("content-encoding", ""), self.max_bytes)
            return Reply(response.status_code, response.headers, decoded)


def decode(content: bytes, encoding: str, limit: int) -> bytes:
    """Decode a content encoding, up to a limit.

    :raises UpstreamFailure: it is broken, cut short, or unknown.
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
    raise UpstreamFailure("the answer's content encoding is broken, or not one that was requested")


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
