"""Workers that are forked from one process, which watches, reloads and replaces them."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import signal
import time
from socket import socket
from typing import Final
from weakref import WeakSet

import uvicorn
from uvicorn._subprocess import subprocess_started
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess, multiprocess

LOG: Final = logging.getLogger(__name__)
#: Seconds that a worker which is to end leaves idle connections open.
LAST_REQUEST: Final = 1.0
#: What is imported before is there in each worker, and in memory once; uvicorn's own workers would import it again.
FORK: Final = multiprocessing.get_context("fork")


class Server(uvicorn.Server):
    """uvicorn's, which also answers requests that are on their way when it is to end."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Accept no more, send clients elsewhere with their next answer, and only then close what is idle.

        uvicorn's own closes idle connections at once: one that was opened just now, and one of a host that is in the
        middle of a boot. Nova does not ask again, so a reload would fail that boot. What remains is the moment at the
        end, which HTTP itself leaves open (RFC 9112, section 9.5).
        """
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        deadline = time.monotonic() + LAST_REQUEST
        await asyncio.sleep(0.05)  # for connections that are being accepted right now
        if idle := self.idle():
            LOG.info("Waiting for requests that may be on their way on %d idle connections", idle)
        while self.idle() and time.monotonic() < deadline:  # noqa: ASYNC110 - uvicorn tells nobody of a request
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)

    def idle(self) -> int:
        """Count the connections on which no request is being answered."""
        connections = [each for each in self.server_state.connections if isinstance(each, HttpToolsProtocol)]
        return sum(each.cycle is None or each.cycle.response_complete for each in connections)


class Worker(multiprocess.Process):
    """uvicorn's, but forked."""

    #: Those that this process knows of.
    all: Final[WeakSet[Worker]] = WeakSet()

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.process = FORK.Process(target=self.begin, args=(sockets,))  # type: ignore[assignment]
        self.all.add(self)

    def start(self) -> None:
        """Fork; no signal comes in between, which would meet the supervisor's handlers in the worker."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, multiprocess.SIGNALS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def begin(self, sockets: list[socket]) -> None:
        """Be a worker: without the supervisor's signal handlers, and without the pipes of the others."""
        for number in multiprocess.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, multiprocess.SIGNALS)
        for other in {*self.all} - {self}:
            # As long as another's pipe is open here, the supervisor would not notice its death.
            other.parent_conn.close()
            other.child_conn.close()
        gc.enable()
        # Made before there are threads: uvicorn's two would both make one, and the supervisor could for ever be told
        # of the one that nobody starts.
        self._server = Server(self.config)
        subprocess_started(self.config, self.target, sockets, None)


# Multiprocess has no other way in.
multiprocess.Process = Worker  # type: ignore[misc]


class Supervisor(Multiprocess):
    """uvicorn's, which also notices at once that a worker has died."""

    def keep_subprocess_alive(self) -> None:
        """Ask every worker whether it is there, and replace those that are not."""
        for process in self.processes:
            # The worker's end of the pipe: as long as it is open here, too, a dead worker's silence has no end.
            process.child_conn.close()
        super().keep_subprocess_alive()
