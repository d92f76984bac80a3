"""Requests to another server: idle connections, no redirects, and a limit on the answer's size."""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import h11

from vendorsrv.proxy.connection import Connection, Reply, TooLarge, UpstreamFailure

#: Seconds for which an idle connection stays open: most servers close theirs after 5.
KEEP_ALIVE: Final = 4.0
#: Seconds of silence after an answer before its connection is used again: surplus bytes may still be on their way.
SILENCE: Final = 0.02
IDLE_CONNECTIONS: Final = 64
#: zlib's windows for the encodings of Accept-Encoding; servers send two kinds of "deflate".
WINDOWS: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
#: Streams one after the other in a compressed answer (RFC 1952, 2.2); some programs begin one every 64 KiB.
MAX_STREAMS: Final = 100
#: Compressed bytes between two turns of the event loop.
STEP: Final = 2**14


class CannotConnect(UpstreamFailure):
    """No server is reachable, or none with a trusted certificate."""


class Address:
    """Where a URL's requests go.

    :param url: one that ``proxy.options.parts_of`` accepts.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.host_header = parts.netloc.lower().removesuffix(":").removesuffix(":443" if self.secure else ":80")
        self.server = (self.secure, self.host, self.port)


class Upstream:
    """The connections of one proxy, or of the look-ups of facts, in one worker.

    :param tls: checks the server's certificate, and has ours.
    :param connect_timeout: seconds, for each address of the name.
    :param read_timeout: seconds between two pieces of an answer; None sets no limit.
    :param max_bytes: of an answer, encoded and decoded.
    :param silence: seconds without a byte before a connection is used again.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        connect_timeout: float,
        read_timeout: float | None,
        max_bytes: int,
        silence: float = SILENCE,
    ) -> None:
        tls.set_alpn_protocols(["http/1.1"])
        self.tls = tls
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.max_bytes = max_bytes
        self.silence = silence
        #: By server, and when each became idle on the loop's clock; the newest one last.
        self.idle: list[tuple[tuple[bool, str, int], float, Connection]] = []
        self.closed = False

    async def close(self) -> None:
        """Close the idle connections now, and each other one at the end of its request."""
        self.closed = True
        for _, _, connection in self.idle:
            connection.close()
        self.idle.clear()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Post a body, see :meth:`request`."""
        return await self.request("POST", url, {**headers, "Content-Length": str(len(body))}, body)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Send a request; retry it once when an idle connection turns out to be closed: the server did not process it.

        :returns: the answer, with its content encoding decoded.
        :raises UpstreamFailure: there is no answer, or none that can be read.
        :raises TimeoutError: connecting, or one piece of the answer, took too long.
        """
        address = Address(url)
        names = {"Host": address.host_header, **headers, "Connection": "keep-alive"}
        pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in names.items()]
        request = h11.Request(method=method, target=address.target, headers=pairs)
        connection = self.take(address)
        if connection:
            try:
                return await self.exchange(address, connection, request, body)
            except UpstreamFailure:
                if connection.received:
                    raise
        return await self.exchange(address, await self.connect(address), request, body)

    async def exchange(self, address: Address, connection: Connection, request: h11.Request, body: bytes) -> Reply:
        try:
            reply = await connection.exchange(request, body)
        except TimeoutError:
            raise TimeoutError("no data within read_timeout") from None
        self.keep(address, connection)
        decoded = await decode(reply.body, reply.headers.get("content-encoding", ""), self.max_bytes)
        return reply._replace(body=decoded)

    def take(self, address: Address) -> Connection | None:
        """Return the idle connection that was used last, or none."""
        now = asyncio.get_running_loop().time()
        for place in range(len(self.idle) - 1, -1, -1):
            server, since, connection = self.idle[place]
            if server == address.server and self.silence <= now - since <= KEEP_ALIVE:
                del self.idle[place]
                if connection.is_usable():
                    return connection
                connection.close()
        return None

    def keep(self, address: Address, connection: Connection) -> None:
        """Keep a connection that can be used again, and close those that are idle for too long, or are too many."""
        now = asyncio.get_running_loop().time()
        if self.closed:
            connection.close()
        elif not connection.ended:
            self.idle.append((address.server, now, connection))
        fresh = [each for each in self.idle if now - each[1] <= KEEP_ALIVE][-IDLE_CONNECTIONS:]
        for each in self.idle[: len(self.idle) - len(fresh)]:
            each[2].close()
        self.idle = fresh

    async def connect(self, address: Address) -> Connection:
        """Connect to the first address of a name that accepts.

        :raises CannotConnect: none does.
        :raises TimeoutError: the last one did not answer.
        """
        loop = asyncio.get_running_loop()
        tls, name = (self.tls, address.host) if address.secure else (None, None)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self.connect_timeout):
                found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            for host in dict.fromkeys(str(each[4][0]) for each in found):
                try:
                    async with asyncio.timeout(self.connect_timeout):
                        _, connection = await loop.create_connection(
                            self.protocol, host, address.port, ssl=tls, server_hostname=name
                        )
                        return connection
                except OSError as error:
                    failure = error
            raise failure or OSError("the name has no address")
        except TimeoutError:
            raise TimeoutError("no connection within connect_timeout") from None
        except (OSError, UnicodeError) as error:
            raise CannotConnect(str(error)) from None

    def protocol(self) -> Connection:
        return Connection(self.max_bytes, self.read_timeout)


async def decode(content: bytes, encoding: str, limit: int) -> bytes:
    """Decode a content encoding, up to a limit.

    :raises UpstreamFailure: it is broken, cut short, unknown, or more than :data:`MAX_STREAMS` streams.
    :raises TooLarge: the decoded content is longer than the limit.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"} or not content:
        return content
    for window in WINDOWS.get(name, ()):
        try:
            return await inflate(content, window, limit)
        except (zlib.error, EOFError):
            continue
    raise UpstreamFailure("the answer's content encoding is broken, or not one that was requested")


async def inflate(content: bytes, window: int, limit: int) -> bytes:
    """Decompress one stream, or several one after the other (RFC 1952, 2.2), step by step."""
    decoded = bytearray()
    stream = zlib.decompressobj(window)
    streams = 1
    for start in range(0, len(content), STEP):
        await asyncio.sleep(0)
        step = content[start : start + STEP]
        while step:
            if stream.eof:
                stream, streams = zlib.decompressobj(window), streams + 1
                if streams > MAX_STREAMS:
                    raise UpstreamFailure(f"the answer has more than {MAX_STREAMS} compressed streams")
            decoded += stream.decompress(step, limit + 1 - len(decoded))
            if len(decoded) > limit:
                raise TooLarge(f"the answer has more than {limit} bytes when it is decoded")
            step = stream.unused_data
    if not stream.eof:
        raise EOFError
    return bytes(decoded)
