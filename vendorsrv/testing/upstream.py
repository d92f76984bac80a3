"""A server for a proxy or another client: it answers as told, or misbehaves in a way that the path names."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final, NamedTuple, Self

from vendorsrv.testing.loopback import Loopback
from vendorsrv.testing.misbehaviour import BEHAVIOURS, Behaviour, body, path

REDIRECTS: Final = (301, 302, 303, 305, 307, 308)
#: Every name that :meth:`FakeUpstream.url_of` takes: the behaviours, redirects to the server's good answer, a redirect
#: to itself, and a port where nobody listens.
NAMES: Final = (*BEHAVIOURS, *map(str, REDIRECTS), "circle", "refused")


class Received(NamedTuple):
    """One request that the server received."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


class Reply(NamedTuple):
    """An ordinary answer; the connection stays open for the next request."""

    body: bytes = b'{"rack": "r1"}'
    headers: Mapping[str, str] = {}
    status: int = 200


class UpstreamRequestHandler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one segment for head and body: a second would wait 40 ms for the first one's acknowledgement
    owner: FakeUpstream

    def setup(self) -> None:
        """Count the connection."""
        self.owner.connections += 1
        super().setup()

    def do_POST(self) -> None:
        """Record the request, and answer it."""
        text = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        received = Received(self.path, dict(self.headers.items()), text, self.command)
        self.owner.received.append(received)
        behaviour = self.owner.routes.get(self.path)
        if behaviour:
            self.close_connection = True
            behaviour(self.send_at_once, self.owner.over.wait)
        else:
            self.give(received)

    # Nova only posts; a handler's own client may use other methods.
    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - http.server's names

    def send_at_once(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def give(self, received: Received) -> None:
        self.owner.over.wait(self.owner.delay)
        reply = self.owner.reply if isinstance(self.owner.reply, Reply) else self.owner.reply(received)
        self.send_response_only(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        empty = reply.status in {204, 304}  # RFC 9110, 6.4.1
        if not empty and "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(b"" if empty else reply.body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class FakeUpstream(Loopback):
    """A vendordata server on a free loopback port; a context manager.

    :param context: for TLS.
    :param ending: the end of :attr:`url`: a path, perhaps with a query.
    :ivar reply: the next answer, or a function that returns it for a request; may be changed at any time.
    :ivar delay: seconds before that answer.
    :ivar routes: other behaviours by path, after which the connection is closed; it has all :data:`BEHAVIOURS`.
    :ivar received: the requests so far.
    :ivar connections: the number of connections so far.
    """

    calls = UpstreamRequestHandler

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        ending: str = "",
        *,
        reply: Reply | Callable[[Received], Reply] = Reply(),  # noqa: B008 - it is frozen
        delay: float = 0.0,
    ) -> None:
        super().__init__(context)
        self.ending = ending
        self.reply = reply
        self.delay = delay
        self.routes: dict[str, Behaviour] = {path(name): behaviour for name, behaviour in BEHAVIOURS.items()}
        self.received: list[Received] = []
        self.connections = 0
        self.nobody = socket.socket()

    @property
    def url(self) -> str:
        """The URL where it answers with :attr:`reply`, for the ``url`` of a proxy."""
        return f"{self.base}{self.ending}"

    def url_of(self, name: str) -> str:
        """Return the URL of one of the behaviours in :data:`NAMES`.

        :raises KeyError: there is no such name.
        """
        if name == "refused":
            return f"http://127.0.0.1:{self.nobody.getsockname()[1]}/"
        if name not in NAMES:
            raise KeyError(f"{name!r} is not one of {', '.join(NAMES)}")
        return f"{self.base}{path(name)}"

    def __enter__(self) -> Self:
        self.nobody.bind(("127.0.0.1", 0))  # and never listens
        super().__enter__()
        for status in REDIRECTS:
            self.routes.setdefault(f"/{status}", body("", status, Location=f"{self.base}/object"))
        self.routes.setdefault("/circle", body('"dizzy"', 307, Location=f"{self.base}/circle"))
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.nobody.close()
