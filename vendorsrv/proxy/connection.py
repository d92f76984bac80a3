"""One HTTP/1.1 connection to an upstream: it serves one request at a time, and surplus bytes end it."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import h11

#: Bytes that are parsed before other work of the event loop has its turn.
SLICE: Final = 4096
#: The longest head, chunk header and trailer, in bytes.
MAX_HEAD: Final = 2**15
#: Responses before the final one (RFC 9110, 15.2).
MAX_INTERIM: Final = 16
#: Chunks of an answer: this many, and one more for each 100 bytes. Each takes 10 µs to parse.
MAX_CHUNKS: Final = 10_000


class UpstreamFailure(Exception):
    """There is no answer. The message is for the operator; nothing of the request or the answer is in it."""


class TooLarge(UpstreamFailure):
    """The answer is larger than allowed."""


class Reply(NamedTuple):
    """An answer.

    :ivar headers: by lower-case name, repeated ones joined by commas.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """What the event loop calls with the bytes of one connection.

    Reading is never paused: a byte after the end of an answer is seen here, and not left for the next request.

    :param max_bytes: of a body.
    :param read_timeout: seconds between two pieces of an answer; None sets no limit.
    :ivar received: bytes since the last request was sent.
    :ivar busy: whether a request is waiting for its answer.
    """

    def __init__(self, max_bytes: int, read_timeout: float | None) -> None:
        self.max_bytes = max_bytes
        self.read_timeout = read_timeout
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self.buffer = bytearray()
        self.changed = asyncio.Event()
        self.received = 0
        self.busy = self.ended = False
        self.error: Exception | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep bytes for the request that waits for them; without one, they are nobody's answer."""
        self.received += len(data)
        self.buffer += data
        # Framing may double a body; more of it is not worth its memory.
        if not self.busy or self.received > 2 * (self.max_bytes + MAX_HEAD):
            self.close()
        self.changed.set()

    def eof_received(self) -> None:
        self.ended = True
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.eof_received()

    def close(self) -> None:
        self.ended = True
        self.transport.abort()

    def is_usable(self) -> bool:
        """Whether it is open, and nothing has arrived since the last answer."""
        if self.ended or self.transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def exchange(self, request: h11.Request, body: bytes) -> Reply:
        """Send a request and read its answer; unless the connection can be used again, it is closed afterwards.

        :raises UpstreamFailure: there is no answer, or none that is valid, or more bytes than one.
        :raises TimeoutError: no data within ``read_timeout``.
        """
        if self.buffer:
            raise UpstreamFailure("bytes arrived before the request was sent")
        if self.transport.is_closing():
            raise UpstreamFailure("the server closed the connection")
        self.received, self.busy = 0, True
        kept = False
        try:
            events = (request, h11.Data(data=body), h11.EndOfMessage())
            self.transport.write(b"".join(self.http.send(event) for event in events))
            reply = await self.read()
            if self.buffer or self.http.trailing_data[0]:
                raise UpstreamFailure("bytes follow the end of the answer")
            if self.http.their_state is h11.DONE and not self.transport.get_write_buffer_size():
                self.http.start_next_cycle()
                kept = True
            return reply
        except h11.RemoteProtocolError as error:
            # What follows a colon in h11's messages are the bytes that it could not read.
            raise UpstreamFailure(f"invalid HTTP: {str(error).partition(':')[0]}") from None
        finally:
            self.busy = False
            if not kept:
                self.close()

    async def read(self) -> Reply:
        """Read one answer to its end."""
        head, pieces, size, chunks, interim = None, [], 0, 0, 0
        while True:
            event = self.http.next_event()
            match event:
                case h11.NEED_DATA:
                    self.http.receive_data(await self.next_slice())
                case h11.InformationalResponse():
                    interim += 1
                    if interim > MAX_INTERIM:
                        raise UpstreamFailure(f"more than {MAX_INTERIM} interim responses")
                case h11.Response():
                    head = event
                    check_framing(head)
                case h11.Data():
                    pieces.append(bytes(event.data))
                    size += len(event.data)
                    chunks += event.chunk_end  # its start is not told when it is the last byte of a slice
                    if size > self.max_bytes:
                        raise TooLarge(f"the answer has more than {self.max_bytes} bytes")
                    if chunks > MAX_CHUNKS + size // 100:
                        raise UpstreamFailure("the answer has too many small chunks")
                case _:
                    assert head is not None  # h11 ends no message that it has not begun
                    return Reply(head.status_code, join(head.headers), b"".join(pieces))

    async def next_slice(self) -> bytes:
        """Return the next bytes, or none at the end, after other work of the event loop has had its turn."""
        await asyncio.sleep(0)
        while not self.buffer and not self.ended:
            self.changed.clear()
            async with asyncio.timeout(self.read_timeout):
                await self.changed.wait()
        if self.received > 2 * (self.max_bytes + MAX_HEAD):
            raise TooLarge(f"the answer has more than {self.max_bytes} bytes, or that many around it")
        if not self.buffer and self.error:
            raise UpstreamFailure(f"the connection broke: {self.error}")
        data = bytes(self.buffer[:SLICE])
        del self.buffer[:SLICE]
        return data


def check_framing(head: h11.Response) -> None:
    """Refuse an answer whose end two readers may see in different places (RFC 9112, 6.1 and 6.3).

    :raises UpstreamFailure: it has ``Transfer-Encoding`` beside ``Content-Length``, or in HTTP/1.0.
    """
    names = {name for name, _ in head.headers}
    if b"transfer-encoding" in names and (b"content-length" in names or head.http_version < b"1.1"):
        raise UpstreamFailure("Transfer-Encoding beside Content-Length, or in HTTP/1.0")


def join(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
    return {name: ", ".join(values) for name, values in headers.items()}
