"""uvicorn's server in a worker: it accepts within limits, and stops without losing a request."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import Any, Final

import uvicorn

from vendorsrv.peers.connections import Connection
from vendorsrv.server.acceptor import Acceptor
from vendorsrv.server.protocol import Protocol
from vendorsrv.telemetry.log_lines import flush_logs
from vendorsrv.telemetry.metrics import RequestMetrics

LOG: Final = logging.getLogger(__name__)
#: Seconds that a worker which stops leaves idle connections open.
LAST_REQUEST: Final = 1.0


class WorkerServer(uvicorn.Server):
    """uvicorn's server in a worker, which also answers requests that are on their way when it stops.

    :param on_started: called when requests are accepted.
    :param drains: whether a stop has to wait, with ``draining`` in the application's state, while all is still served.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_started: Callable[[], None] = lambda: None,
        drains: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(config)
        self.on_started, self.drains = on_started, drains

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Open the application and listen.

        :param sockets: Nova's and, unless it is turned off, that of the server's own pages
            (:func:`vendorsrv.server.serve.listen`).
        """
        await super().startup([])  # uvicorn's own way to listen knows no limits
        if self.should_exit:
            return
        application = self.lifespan.state["application"]  # uvicorn 0.22 wraps the one that it has loaded
        novas, *admins = sockets or [self.config.bind_socket()]
        acceptors = [self.accept_on(novas, application, self.config.ssl, application.endpoint.metrics)]
        acceptors += [self.accept_on(each, application.admin, None) for each in admins]
        self.servers = acceptors  # type: ignore[assignment] # which uvicorn only closes
        self.on_started()

    async def on_tick(self, counter: int) -> bool:
        """Once a second, end connections whose clients keep them waiting; return whether to stop."""
        if counter % 10 == 0:  # uvicorn calls it ten times a second
            now = time.monotonic()
            for each in [*self.server_state.connections]:
                each.look(now)  # type: ignore[union-attr] # all are ours
        return await super().on_tick(counter)

    def accept_on(
        self, listener: socket, application: Any, tls: ssl.SSLContext | None, metrics: RequestMetrics | None = None
    ) -> Acceptor:
        """Accept the connections of a socket for an ASGI application, which has their limits as ``connections``.

        What a connection can ask for follows from the socket that accepted it, and from nothing that it sends.

        :param metrics: count what is refused before the application sees it.
        """

        def new_protocol(connection: Connection) -> Protocol:
            protocol = Protocol(self.config, self.server_state, self.lifespan.state)
            protocol.app = application
            protocol.connection, protocol.metrics = connection, metrics
            return protocol

        return Acceptor(listener, self.config.backlog, tls, application.connections, new_protocol)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain, stop accepting, send ``Connection: close`` with each response, close idle connections a second later.

        uvicorn closes idle connections at once: also one that was opened just now, and one of a host in the middle of a
        boot. Nova does not retry, so a reload would fail that boot. What remains is the moment at the end, which HTTP
        itself leaves open (RFC 9112, section 9.5).
        """
        self.lifespan.state["draining"] = True
        while self.drains():  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.05)
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        deadline = time.monotonic() + LAST_REQUEST
        await asyncio.sleep(0.05)  # for connections that are being accepted right now
        if idle := self.idle_connections():
            LOG.info("Waiting for requests that may be on their way on %d idle connections", idle)
        while self.idle_connections() and time.monotonic() < deadline:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        for each in [*self.server_state.connections]:  # of requests that were given up, whose clients may still send
            each.transport.abort()
        await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Write the log before uvicorn raises the signal again that stopped it, which ends the process."""
        with super().capture_signals():
            yield
            flush_logs()

    def idle_connections(self) -> int:
        """Return how many connections have no request that is being answered."""
        return sum(isinstance(each, Protocol) and each.is_idle for each in self.server_state.connections)
