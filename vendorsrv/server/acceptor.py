"""Accepts connections: within their limits, and with the peer that a trusted proxy names before TLS begins.

asyncio's own server accepts without limits, and starts TLS before a byte can be read.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR, socket
from typing import Any, Final

from vendorsrv.peers.connections import Connection, Connections
from vendorsrv.peers.proxy_protocol import ProxyHeaderError, read_header

LOG = logging.getLogger(__name__)
#: Connections that are accepted in one turn of the event loop; each holds a file before the limits are applied to it.
IN_ONE_TURN: Final = 64
#: Seconds for the header of the PROXY protocol, and for TLS after it.
HANDSHAKE_TIMEOUT: Final = 5.0
#: Seconds for TLS to begin, and for a client to agree that it ends.
TLS_TIMEOUTS: Final = {"ssl_handshake_timeout": HANDSHAKE_TIMEOUT, "ssl_shutdown_timeout": 2.0}
#: Seconds without accepting after the system has refused a file.
PAUSE: Final = 0.5


class Acceptor:
    """Accepts the connections of one socket; takes the place of asyncio's server in uvicorn's.

    :param listener: a bound socket.
    :param backlog: connections that the system may hold until they are accepted.
    :param context: of TLS.
    :param new_protocol: creates the protocol of a connection.
    """

    def __init__(
        self,
        listener: socket,
        backlog: int,
        context: ssl.SSLContext | None,
        connections: Connections,
        new_protocol: Callable[[Connection], asyncio.Protocol],
    ) -> None:
        self.sockets = (listener,)
        self.listener = listener
        self.tls: dict[str, Any] = {}
        if context:
            self.tls = {"ssl": context, **TLS_TIMEOUTS}
        self.connections = connections
        self.new_protocol = new_protocol
        self.tasks: set[asyncio.Task[bool]] = set()
        self.loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(backlog)
        self.is_open = True
        self.accept_after(0.0)

    def accept_after(self, seconds: float) -> None:
        self.timer = self.loop.call_later(seconds, self.loop.add_reader, self.listener, self.accept)

    def close(self) -> None:
        """Accept no more connections, and close the socket."""
        if self.is_open:
            self.is_open = False
            self.timer.cancel()
            self.loop.remove_reader(self.listener)
            self.listener.close()

    async def wait_closed(self) -> None:
        """Return at once: uvicorn waits for the connections itself."""

    def accept(self) -> None:
        for _ in range(IN_ONE_TURN):
            try:
                accepted, address = self.listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file is left, or no memory
                LOG.error("cannot accept connections: %s", error.strerror)
                self.loop.remove_reader(self.listener)
                self.accept_after(PAUSE)
                return
            accepted.setblocking(False)
            connection = Connection(self.connections, address[0], accepted.close)
            if self.connections.admit(connection):
                self.start(accepted, connection)
            else:
                accepted.close()

    def start(self, accepted: socket, connection: Connection) -> None:
        task = self.loop.create_task(self.serve(accepted, connection))
        connection.close = task.cancel
        self.tasks.add(task)

        def end(task: asyncio.Task[bool]) -> None:
            self.tasks.discard(task)
            if task.cancelled() or not task.result():  # also one that was cancelled before it began
                accepted.close()
                connection.leave()

        task.add_done_callback(end)

    async def serve(self, accepted: socket, connection: Connection) -> bool:
        """Hand a connection to a protocol, once it has told its peer and agreed on TLS; return whether it has."""
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                admitted = connection.key is not None or await self.name(accepted, connection)
            if admitted:
                # Whoever cancels what follows leaves uvloop's transport and our protocol in memory.
                connection.close = partial(hang_up, accepted)
                transport, _ = await self.loop.connect_accepted_socket(
                    lambda: self.new_protocol(connection), accepted, **self.tls
                )
                connection.close = transport.abort
                if connection not in self.connections.all:  # it made room for another one meanwhile
                    transport.abort()
                return True
        except ProxyHeaderError as error:
            LOG.warning("closed a connection of the trusted proxy %s: PROXY protocol: %s", connection.peer, error)
        except OSError:
            pass  # it has left, is too slow, or speaks no TLS: asyncio does not log that either
        return False

    async def name(self, accepted: socket, connection: Connection) -> bool:
        """Read the peer of a trusted proxy's connection; return whether there is room for it."""
        peer = await read_header(accepted)
        if peer is None:
            return True
        connection.leave()
        connection.name(peer)
        return self.connections.admit(connection)


def hang_up(accepted: socket) -> None:
    """End a connection; whoever waits for its data finds the end."""
    with suppress(OSError):  # the peer was faster
        accepted.shutdown(SHUT_RDWR)
