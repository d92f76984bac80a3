"""Where a request ends: what of a connection's bytes the parser gets, within limits.

The parser has no limits of its own (https://llhttp.org): it would collect a head without end, and parse all that came,
also requests behind one that is not answered yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from httptools import HttpRequestParser

from vendorsrv.errors import HeadTooLarge, UrlTooLong

#: At most this many bytes has a head with its URL, and what frames a chunked body, trailers included, beyond
#: :data:`FRAMING` bytes for each byte of the body: one that is a chunk takes five.
MOST: Final = 32768
FRAMING: Final = 8
#: Bytes of a chunked body that are parsed in one turn of the event loop: one that is a chunk calls back into Python.
SLICE: Final = 4096
#: What :attr:`Framing.left` is for a chunked body.
CHUNKED: Final = -1


class Framing:
    """The part of one connection's request that is to come.

    :ivar head: what has come of a head that is not whole.
    :ivar since: the monotonic time since when the connection waits for a request, or for the rest of a head.
    :ivar left: the bytes of the body that are to come, or :data:`CHUNKED`.
    :ivar spare: the bytes that may still frame a chunked body.
    """

    def __init__(self) -> None:
        self.head = b""
        self.since = time.monotonic()
        self.left = 0
        self.spare = MOST

    def split_head(self, data: bytes) -> tuple[bytes, bytes]:
        """Return a request's head, which is empty until it is whole, and what is behind it.

        :raises HttpParserError: this can be no request.
        :raises HeadTooLarge: it has more than :data:`MOST` bytes.
        :raises UrlTooLong: its first line alone has.
        """
        data = (self.head + data).lstrip(b"\r\n")  # empty lines before a request are ignored (RFC 9112, section 2.2)
        end = data.find(b"\r\n\r\n") + 4
        if 4 <= end <= MOST:
            self.head = b""
            return data[:end], data[end:]
        if len(data) > MOST:
            if b"\n" in data[:MOST]:
                raise HeadTooLarge(f"the request's head has more than {MOST} bytes")
            raise UrlTooLong(f"the request's first line has more than {MOST} bytes")
        HttpRequestParser(None).feed_data(data)
        if not self.head:
            self.since = time.monotonic()
        self.head = data
        return b"", b""

    def expect_body(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Set how much is to come of the body of a request that has one (RFC 9112, section 6.3)."""
        self.left, self.spare = CHUNKED, MOST
        for name, value in headers:
            if name == b"content-length":
                self.left = int(value)
                break

    def split_body(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what the parser may get now of a body, and the rest."""
        if self.left == CHUNKED:
            return data[:SLICE], data[SLICE:]
        body, rest = data[: self.left], data[self.left :]
        self.left -= len(body)
        return body, rest

    def count_chunks(self, size: int, body: int, *, whole: bool) -> None:
        """Count a part of a chunked body.

        :param body: the bytes of the body in it.
        :param whole: whether it was the last one.
        :raises HeadTooLarge: too much is not the body.
        """
        self.spare += (1 + FRAMING) * body - size
        if self.spare < 0:
            raise HeadTooLarge("the body's trailers, or what frames its chunks, are too long")
        if whole:
            self.left = 0
