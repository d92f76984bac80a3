"""Workers that are forked from one process, which watches, reloads and replaces them."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from socket import socket
from typing import Final
from weakref import WeakSet

import uvicorn
from uvicorn._subprocess import subprocess_started
from uvicorn.supervisors import Multiprocess, multiprocess

#: What is imported before is there in each worker, and in memory once; uvicorn's own workers would import it again.
FORK: Final = multiprocessing.get_context("fork")


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
        self._server = uvicorn.Server(self.config)
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
