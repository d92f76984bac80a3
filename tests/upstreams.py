"""Vendordata servers to put a proxy in front of: they keep connections, and say how long answers last."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.fake_keystone import FakeKeystone
from tests.fixtures import Clock
from tests.misbehaviour import Received
from tests.serving import Server, running, section, write_config


class Reply(NamedTuple):
    """What the server answers with."""

    body: bytes = b'{"rack": "r1"}'
    headers: Mapping[str, str] = {}
    status: int = 200


class Other:
    """Another vendordata server, on a free loopback port; a context manager.

    :ivar reply: what it answers next; may be changed at any time, and may be made from the request.
    :ivar delay: seconds before it answers.
    :ivar received: the requests so far.
    :ivar connections: how many there were.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.reply: Reply | Callable[[Received], Reply] = Reply()
        self.delay = 0.0
        self.received: list[Received] = []
        self.connections = 0
        self.context = context
        self.port = 0
        self.server: Listening | None = None

    @property
    def url(self) -> str:
        """What stands in ``url``."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}/rack?site=ams1"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after a :meth:`stop` on the same port as before."""
        self.server = Listening(("127.0.0.1", self.port), type("Bound", (Calls,), {"other": self}))
        if self.context:
            self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and end those that there are."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server.hang_up()
            self.server = None


class Listening(ThreadingHTTPServer):
    """Keeps its connections, to end them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self.open: list[socket.socket] = []
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Note each connection."""
        connection, address = super().get_request()
        self.open.append(connection)
        return connection, address

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that gave up."""

    def hang_up(self) -> None:
        """End all connections."""
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Calls(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one segment for head and body: a second would wait 40 ms for the first one's acknowledgement
    other: Other

    def setup(self) -> None:
        """Count the connection."""
        self.other.connections += 1
        super().setup()

    def do_POST(self) -> None:
        """Note the request and answer it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received = Received(self.path, dict(self.headers.items()), body)
        self.other.received.append(received)
        time.sleep(self.other.delay)
        reply = self.other.reply if isinstance(self.other.reply, Reply) else self.other.reply(received)
        self.send_response_only(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if reply.status not in {204, 304} and "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Front(NamedTuple):
    """A server with proxies, and what it takes to ask it.

    :ivar token: Nova's.
    """

    server: Server
    keystone: FakeKeystone
    token: str

    def ask(self, path: str = "/rack", **keywords: Any) -> Any:
        """Post as Nova does."""
        return self.server.ask(path, self.token, **keywords)

    def outcome(self, path: str = "/rack", **keywords: Any) -> tuple[int, Any]:
        """Give the status, and the answer or the message."""
        response = self.ask(path, **keywords)
        body = response.json()
        return response.status_code, body if response.status_code == 200 else body["error"]["message"]


def proxy(name: str = "rack", /, **options: object) -> str:
    """Give the text of a proxy's section; a list of URLs becomes a line for each."""
    urls = options.pop("url")
    lines = [f"url = {url}\n" for url in (urls if isinstance(urls, list) else [urls])]
    return section(f"proxy:{name}", options) + "".join(lines)


@contextmanager
def proxying(
    directory: Path, *sections: str, clock: Clock | None = None, handlers: str = "", **options: Any
) -> Iterator[Front]:
    """Serve some proxies, and no handlers unless they are named."""
    with FakeKeystone() as keystone:
        config = write_config(directory, keystone, handlers=handlers, sections="\n".join(sections), **options)
        with running(config, **({"clock": clock} if clock else {})) as server:
            yield Front(server, keystone, keystone.issue("service"))
