"""``python -m bench.strangers_attacks NAME HOST PORT SOURCE SECONDS``: a stranger without a token attacks a server.

Each is a process of its own, bounded in time, bytes and connections; it prints what became of them, as JSON.
"""

from __future__ import annotations

import json
import re
import resource
import secrets
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

#: The most bytes that one stranger sends, and the most connections that it opens.
BYTES: Final = 256 * 2**20
CONNECTIONS: Final = 100_000
BLOCK: Final = 65536
STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
#: What a socket without blocking says instead of waiting.
LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

#: A stranger does not care who answers.
CONTEXT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE

POST: Final = b"POST /mailserver HTTP/1.1\r\nHost: vendordata\r\nContent-Type: application/json\r\n"
#: The first bytes of a TLS handshake of 512 bytes (RFC 8446, 5.1), which are all that come.
HALF_A_HANDSHAKE: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@dataclass
class Stranger:
    """Who attacks, and what came of it.

    :ivar source: the address to come from; empty for any.
    :ivar until: the monotonic time of the end.
    :ivar tls: whether the server speaks TLS.
    """

    host: str
    port: int
    source: str
    until: float
    tls: bool = False
    sent: int = 0
    connections: int = 0
    found: Counter[str] = field(default_factory=Counter)

    def goes_on(self) -> bool:
        """Whether the bounds are not reached."""
        return time.monotonic() < self.until and self.sent < BYTES and self.connections < CONNECTIONS

    def connect(self, *, tls: bool = True, buffer: int = 0) -> socket.socket:
        """Open a connection that does not block.

        :param buffer: bytes of what is not read that the kernel keeps; 0 is its own choice.
        """
        self.connections += 1
        connection = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        try:
            if buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            if self.source:
                connection.bind((self.source, 0))
            connection.settimeout(1)
            connection.connect((self.host, self.port))
            if self.tls and tls:
                connection = CONTEXT.wrap_socket(connection)
        except OSError as error:
            connection.close()
            self.found[f"connect: {type(error).__name__}"] += 1
            raise
        connection.setblocking(False)
        return connection

    def send(self, connection: socket.socket, data: bytes) -> int:
        """Send what the kernel takes now, and return how much that was."""
        with suppress(*LATER):
            count = connection.send(data)
            self.sent += count
            return count
        return 0

    def read(self, connection: socket.socket) -> bool:
        """Take what has come, and return whether more can come."""
        with suppress(*LATER):
            data = connection.recv(BLOCK)
            self.found.update(status.decode() for status in STATUS.findall(data))
            return bool(data)
        return True

    def lose(self, reason: str) -> None:
        """Count the end of a connection."""
        self.found[reason] += 1


def flood(stranger: Stranger, head: bytes, parts: Iterable[bytes]) -> None:
    """Send a head and then parts, for ever, on one connection after the other; go on after the server's answer."""
    stream = iter(parts)
    while stranger.goes_on():
        with suppress(OSError), stranger.connect() as connection:
            rest, open_ended = head, True
            try:
                while stranger.goes_on():
                    open_ended = open_ended and stranger.read(connection)
                    count = stranger.send(connection, rest)
                    rest = rest[count:] or next(stream)
                    if not count:
                        time.sleep(0.002)
            except OSError:
                stranger.lose("reset" if open_ended else "closed")


def crowd(
    stranger: Stranger, count: int, first: bytes, again: bytes = b"", *, tls: bool = True, reads: bool = True
) -> None:
    """Hold many connections, each of which sends something at first and then again, five times a second.

    :param reads: whether they read what they are sent.
    """
    held: list[socket.socket] = []
    while stranger.goes_on():
        with suppress(OSError):
            while len(held) < count and stranger.goes_on():
                held.append(stranger.connect(tls=tls, buffer=0 if reads else 4096))
                stranger.send(held[-1], first)
        for each in list(held):
            try:
                closed = reads and not stranger.read(each)
                stranger.send(each, again)
            except OSError:
                closed = True
            if closed:
                stranger.lose("closed")
                held.remove(each)
                each.close()
        time.sleep(0.2)


def reset(stranger: Stranger) -> None:
    """Ask, and reset the connection after the answer, which leaves it open."""
    while stranger.goes_on():
        with suppress(OSError), stranger.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.settimeout(1)
            stranger.send(connection, get(b"/-/live"))
            stranger.read(connection)


def ask(stranger: Stranger, count: int, request: Callable[[], bytes], pause: float = 0.0) -> None:
    """Ask over many connections: each sends a request, reads all of the answer, and pauses."""
    at_once(count, lambda: ask_alone(stranger, request, pause))


def at_once(count: int, work: Callable[[], None]) -> None:
    """Do something in many threads, and wait for their ends."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask_alone(stranger: Stranger, request: Callable[[], bytes], pause: float) -> None:
    """Ask on connections that the server closes after the answer."""
    while stranger.goes_on():
        with suppress(OSError), stranger.connect() as connection:
            connection.settimeout(1)
            data = request()
            connection.sendall(data)
            stranger.sent += len(data)
            with suppress(TimeoutError):
                while stranger.goes_on() and stranger.read(connection):
                    pass
        time.sleep(pause)


def get(path: bytes, *headers: bytes) -> bytes:
    """Return a request without a token."""
    return b"".join((b"GET ", path, b" HTTP/1.1\r\nHost: vendordata\r\n", *headers, b"\r\n"))


def made_up() -> bytes:
    """Return Nova's request with a token like Keystone's, that nobody issued."""
    token = b"gAAAAAB" + secrets.token_urlsafe(130).encode()
    return POST + b"X-Auth-Token: " + token + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE: Final = b"Connection: close\r\n"

#: Each attack by its name in the table.
ATTACKS: Final[dict[str, Callable[[Stranger], None]]] = {
    "header value without end": lambda each: flood(each, POST + b"X-Long: ", repeat(b"a" * BLOCK)),
    "many small headers": lambda each: flood(each, POST, repeat(b"X-A: b\r\n" * 8192)),
    "URL without end": lambda each: flood(each, b"GET /", repeat(b"a" * BLOCK)),
    "trailers without end": lambda each: flood(each, CHUNKED + b"0\r\n", repeat(b"X-A: b\r\n" * 8192)),
    "pipelined requests": lambda each: flood(each, b"", repeat(get(b"/-/live") * 1000)),
    "one-byte chunks, refused": lambda each: flood(each, CHUNKED, repeat(b"1\r\na\r\n" * 10_000)),
    "huge body, refused": lambda each: flood(each, POST + b"Content-Length: 10000000000\r\n\r\n", repeat(b"a" * BLOCK)),
    "1,100 silent connections": lambda each: crowd(each, 1100, b""),
    "1,100 half-sent heads": lambda each: crowd(each, 1100, POST, b"X"),
    "500 that do not read": lambda each: crowd(each, 500, b"", get(b"/-/ready") * 50, reads=False),
    "/-/metrics, 50 connections": lambda each: ask(each, 50, lambda: get(b"/-/metrics", CLOSE)),
    "/-/docs, 50 connections": lambda each: ask(each, 50, lambda: get(b"/-/docs/assets/swagger-ui-bundle.js", CLOSE)),
    "made-up tokens, 80 a second": lambda each: ask(each, 20, made_up, 0.25),
    "made-up tokens, at full speed": lambda each: ask(each, 50, made_up),
    "new connections, 200 at a time": lambda each: ask(each, 200, lambda: get(b"/-/live", CLOSE)),
    "connections that are reset": lambda each: at_once(50, lambda: reset(each)),
    "200 handshakes at a time": lambda each: ask(each, 200, lambda: get(b"/-/live", CLOSE)),
    "500 half handshakes": lambda each: crowd(each, 500, HALF_A_HANDSHAKE, tls=False),
}
#: Attacks on the address of the server's own pages; who makes them has reached it, which is on loopback by default.
ON_ADMIN: Final = frozenset({"/-/metrics, 50 connections", "/-/docs, 50 connections"})
#: Attacks on servers that speak TLS.
BY_TLS: Final = frozenset({"200 handshakes at a time", "500 half handshakes"})


def main(words: Sequence[str]) -> None:
    """Attack, and print what came of it."""
    name, host, port, source, seconds, *tls = words
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.alarm(int(float(seconds)) + 30)  # whatever happens
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most), most))
    stranger = Stranger(host, int(port), source, time.monotonic() + float(seconds), bool(tls))
    ATTACKS[name](stranger)
    json.dump({"sent": stranger.sent, "connections": stranger.connections, **stranger.found}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
