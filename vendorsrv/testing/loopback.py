"""A server on a free loopback port that a test can stop and start again."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self


class Loopback:
    """A server on a free loopback port; a context manager.

    :param context: for TLS.
    :cvar calls: the request handler; its ``owner`` is this object.
    :ivar port: the port, which stays the same after a restart.
    :ivar over: set when the test is over.
    """

    calls: ClassVar[type[BaseHTTPRequestHandler]]

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.over = threading.Event()
        self.server: Listening | None = None

    @property
    def base(self) -> str:
        """Its URL without a path."""
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.keeper = socket.socket()  # keeps the port while nobody listens there, so that no other process gets it
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.keeper.bind(("127.0.0.1", 0))
        self.port: int = self.keeper.getsockname()[1]
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.stop()
        self.keeper.close()

    def start(self) -> None:
        """Listen; after :meth:`stop`, on the same port as before."""
        self.server = Listening(("127.0.0.1", self.port), type("Bound", (self.calls,), {"owner": self}))
        if self.context:
            self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and close the open ones."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server.hang_up()
            self.server = None


class Listening(ThreadingHTTPServer):
    """An HTTP server that can close its connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self.open: list[socket.socket] = []
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and remember it."""
        connection, address = super().get_request()
        self.open.append(connection)
        return connection, address

    def handle_error(self, *arguments: Any) -> None:
        """Ignore clients that gave up; print other exceptions, such as a mistake in a test's behaviour."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*arguments)

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
