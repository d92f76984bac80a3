"""The workers: processes that are forked from one that watches, reloads and replaces them."""

from __future__ import annotations

import ctypes
import gc
import logging
import mmap
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Final

import uvicorn

from vendorsrv.errors import ConfigError
from vendorsrv.server.worker import LAST_REQUEST, WorkerServer
from vendorsrv.settings import STARTUP_FAILURE

LOG: Final = logging.getLogger(__name__)
#: Seconds that a worker may take to start, of which handlers may take 30 to open, that it may be silent, and that it
#: may take to stop after the last request.
WORKER_TIMEOUT: Final = 60.0
#: Seconds between two signs of life of a worker, and between two looks of the supervisor.
INTERVAL: Final = 0.5
STOP: Final = {signal.SIGTERM, signal.SIGINT}
#: Signals that would end or stop the supervisor if it did not take them; of these only SIGHUP has a meaning.
OTHERS: Final = {signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU}
#: What is imported before is there in each worker, and in memory once.
FORK: Final = multiprocessing.get_context("fork")
#: An option of prctl(2).
PR_SET_PDEATHSIG: Final = 1


class Worker:
    """A forked process that serves.

    :param mask: the signals that it blocks.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket], mask: set[signal.Signals]) -> None:
        self.config, self.sockets, self.mask = config, sockets, mask
        # Bytes of memory that both processes have: a count of signs of life, whether it serves, and whether it drains.
        self.shared = mmap.mmap(-1, 3)
        self.beats_seen = 0
        self.silent_looks = 0
        self.is_told_to_stop = False
        self.process = FORK.Process(target=self.serve, args=(os.getpid(),))
        self.process.start()

    def serve(self, supervisor: int) -> None:
        end_with(supervisor)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        gc.enable()
        threading.Thread(target=self.beat, name="beat", daemon=True).start()
        with suppress(KeyboardInterrupt):  # of SIGINT, which uvicorn raises again when it has stopped
            WorkerServer(self.config, self.on_started, self.drains).run(self.sockets)

    def beat(self) -> None:
        while True:
            self.shared[0] = (self.shared[0] + 1) % 256
            time.sleep(INTERVAL)

    def on_started(self) -> None:
        self.shared[1] = 1

    def drains(self) -> bool:
        return bool(self.shared[2])

    @property
    def has_started(self) -> bool:
        """Whether it accepts requests, or did until it ended."""
        return bool(self.shared[1])

    def is_alive(self, patience: float) -> bool:
        """Whether it runs, and has not been silent in all looks of these seconds; to be called once in each look.

        Looks are counted, and not seconds: both processes may have been stopped, as those of a paused virtual machine.
        """
        beats = self.shared[0]
        self.silent_looks = self.silent_looks + 1 if beats == self.beats_seen else 0
        self.beats_seen = beats
        return self.process.is_alive() and self.silent_looks * INTERVAL < patience

    def wait_until_ready(self, patience: float) -> bool:
        """Wait until it accepts requests, ends, or the server has to stop; return whether it accepts them."""
        self.wait(patience, lambda: self.has_started)
        return self.has_started and self.process.is_alive()

    def wait(self, patience: float, condition: Callable[[], bool] = lambda: False) -> None:
        """Wait until a condition holds, it ends, the server has to stop, or these seconds are over."""
        deadline = time.monotonic() + patience
        while self.process.is_alive() and not (condition() or has_to_stop()) and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self, *, drain: bool = False) -> None:
        """Stop it gracefully; to drain, it goes on serving until this is called again.

        It gets one signal: whatever a process does when it ends may not stand a second one.
        """
        self.shared[2] = drain
        if not self.is_told_to_stop:
            self.process.terminate()
        self.is_told_to_stop = True

    def end(self, deadline: float) -> None:
        """Wait until it has ended, and kill it if it has not by this time of the monotonic clock."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            LOG.error("Worker %s did not stop in time, killing it", self.process.pid)
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Supervisor:
    """Runs workers until SIGTERM or SIGINT; SIGHUP replaces them one by one.

    :param sockets: on which all workers listen.
    :param patience: seconds that a worker may take to start, after which a silent one is replaced, and after which one
        that does not stop is killed, beside those for its requests.
    :param drain_seconds: for which all workers still serve after SIGTERM, and are not ready.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket],
        patience: float = WORKER_TIMEOUT,
        drain_seconds: float = 0.0,
    ) -> None:
        self.config, self.sockets, self.patience = config, sockets, patience
        self.drain_seconds = drain_seconds
        self.stop_patience = LAST_REQUEST + (config.timeout_graceful_shutdown or 0) + patience
        self.mask: set[signal.Signals] = set()
        self.workers: list[Worker] = []

    def run(self) -> None:
        """Run until a signal says to stop.

        Signals stay blocked and are taken one by one: none interrupts a fork, SIGHUPs that arrive during a reload are
        one, and a signal to stop goes first.

        :raises ConfigError: a worker could not start.
        """
        self.mask = {signal.Signals(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, STOP | OTHERS)}
        try:
            self.workers = [self.new_worker() for _ in range(self.config.workers)]
            while (number := next_signal()) not in STOP:
                if number == signal.SIGHUP:
                    self.reload()
                else:
                    self.replace_dead_workers()
            if number == signal.SIGTERM and self.drain_seconds:
                self.drain()
        finally:
            self.stop()

    def new_worker(self) -> Worker:
        return Worker(self.config, self.sockets, self.mask)

    def drain(self) -> None:
        """Let load balancers find out that no worker is ready, while all still serve; another signal to stop ends it.

        SIGINT does not drain: it comes from a terminal, and somebody waits there.
        """
        LOG.info("Draining for %g seconds: /-/ready answers 503", self.drain_seconds)
        for worker in self.workers:
            worker.stop(drain=True)
        deadline = time.monotonic() + self.drain_seconds
        while time.monotonic() < deadline and not has_to_stop():
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop all workers at once; a worker that is starting has a second, since it would open its handlers first."""
        LOG.info("Stopping the workers")
        now = time.monotonic()
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.end(now + (self.stop_patience if worker.has_started else LAST_REQUEST))

    def reload(self) -> None:
        """Replace each worker, once the new one is ready."""
        LOG.info("Received SIGHUP, replacing the workers")
        for index, old in enumerate(self.workers):
            new = self.new_worker()
            if not new.wait_until_ready(self.patience):
                new.kill()
                if not has_to_stop():
                    LOG.error("A new worker could not start; the old workers keep running")
                return
            self.workers[index] = new
            old.stop()
            old.wait(self.stop_patience)
            if has_to_stop():
                self.workers.append(old)  # which is stopping, and is waited for as the others are
                return
            old.end(0.0)

    def replace_dead_workers(self) -> None:
        """Start a worker for each that has ended or is silent; raise ConfigError if one could not start."""
        for index, worker in enumerate(self.workers):
            if worker.is_alive(self.patience):
                continue
            worker.kill()
            if worker.process.exitcode == STARTUP_FAILURE:
                raise ConfigError("a worker could not start; the log says why")
            LOG.error("Worker %s died, starting another", worker.process.pid)
            self.workers[index] = self.new_worker()


def has_to_stop() -> bool:
    """Whether a signal to stop is pending."""
    return bool(STOP & signal.sigpending())


def next_signal() -> int | None:
    """Wait up to :data:`INTERVAL` for a signal, and return it; one to stop goes before those with lower numbers."""
    found = signal.sigtimedwait(STOP if has_to_stop() else STOP | OTHERS, INTERVAL)
    return found and found.si_signo


def end_with(supervisor: int) -> None:
    """Have the kernel kill this process when the supervisor ends without stopping it (PR_SET_PDEATHSIG of prctl(2)).

    Not a graceful stop: a worker that is stopped, or whose event loop is blocked, would keep the port, and no new
    server could start. systemd kills what is left of a service whose main process has ended in the same way.

    :param supervisor: its process id.
    :raises SystemExit: it has ended already.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        sys.exit(STARTUP_FAILURE)
