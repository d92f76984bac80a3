"""A server on the test's own event loop that sends whatever a test wants, and keeps its connections open."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class RawUpstream:
    """What is between :func:`raw_upstream`'s two ends.

    :ivar answer: returns the bytes to send for a request's body.
    :ivar greeting: what a new connection gets before its first request.
    :ivar reads_body: whether a request's body is read before the answer is sent.
    :ivar writers: the connections so far.
    :ivar connected: whether there is one.
    :ivar ended: whether a client has closed one.
    """

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.greeting = b""
        self.reads_body = True
        self.writers: list[asyncio.StreamWriter] = []
        self.connected = asyncio.Event()
        self.ended = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.writers.append(writer)
        self.connected.set()
        writer.write(self.greeting)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: ([0-9]+)", head)
                assert length
                writer.write(self.answer(await reader.readexactly(int(length[1])) if self.reads_body else b""))
                await writer.drain()
        self.ended.set()


@asynccontextmanager
async def raw_upstream(
    answer: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawUpstream]:
    """Serve on a free loopback port."""
    upstream = RawUpstream(answer)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    upstream.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    try:
        yield upstream
    finally:
        server.close()
        for writer in upstream.writers:
            writer.transport.abort()
