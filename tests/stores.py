"""Real stores that belong to one test, and a relay that makes any store fail in every way that a network does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from shutil import which
from typing import Any, Final, Self

import pytest

from tests import peers
from tests.serving import free_port
from tests.waiting import wait_until


class OwnStore:
    """A server process on a free loopback port, which it keeps when it is restarted; a context manager."""

    program: str

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if which(self.program) is None:
            peers.missing(f"no {self.program}: make test installs it")
        peers.RAN.setdefault(self.program, self.version())
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self) -> Sequence[str]:
        """Give the command line after the program's name."""
        raise NotImplementedError

    def version(self) -> str:
        """Ask the program for its version."""
        said = subprocess.run([self.program, "--version"], capture_output=True, check=True, text=True).stdout
        return next(word.removeprefix("v=") for word in said.split() if word.removeprefix("v=")[:1].isdigit())

    def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        self.process = subprocess.Popen(
            [self.program, *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_until(self.listens)

    def listens(self) -> bool:
        """Say whether it takes connections."""
        assert self.process
        assert self.process.poll() is None, f"{self.program} ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Kill it: its connections are gone, and new ones are refused."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Come back empty on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Hang: the system still takes connections, and nobody answers."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after a :meth:`pause`."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def say(self, *lines: bytes) -> bytes:
        """Send lines of the store's own protocol, and give the first piece of what it answers to the last."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            answer = b""
            for line in lines:
                connection.sendall(line + b"\r\n")
                answer = connection.recv(65536)
            return answer


class OwnRedis(OwnStore):
    """A Redis that keeps nothing on disk.

    :param memory: bytes that it may take for its data; more are refused.
    """

    program = "redis-server"

    def __init__(self, memory: int = 0) -> None:
        super().__init__()
        self.memory = memory

    def command(self) -> Sequence[str]:
        """Say where, and that nothing is saved."""
        where = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [*where, "--save", "", "--maxmemory", str(self.memory), "--maxmemory-policy", "noeviction"]


class OwnMemcached(OwnStore):
    """A memcached.

    :param evicts: whether it throws out the oldest values when it is full, or refuses new ones.
    """

    program = "memcached"

    def __init__(self, *, evicts: bool = True) -> None:
        super().__init__()
        self.evicts = evicts

    def command(self) -> Sequence[str]:
        """Say where and how much; root has to say that it means it."""
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return ["-l", "127.0.0.1", "-p", str(self.port), "-m", "2", *user, *([] if self.evicts else ["-M"])]


class Relay:
    """A TCP relay on a free loopback port in front of a store that nobody may stop; a context manager.

    It works well until it is told otherwise; a test ends every fault with :meth:`heal`.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = free_port()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.server: asyncio.Server | None = None
        self.connections: set[asyncio.StreamWriter] = set()
        self.flapping: asyncio.Task[None] | None = None
        self.flows = asyncio.Event()
        self.delay = 0.0

    def __enter__(self) -> Self:
        self.thread.start()
        self.heal()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def heal(self) -> None:
        """Work well; what a hung relay held back goes on."""
        self.do(self.become(listens=True))

    def cut(self) -> None:
        """Stop: all connections are closed, and new ones refused."""
        self.do(self.become(listens=False))

    def hang(self) -> None:
        """Take connections, and pass nothing on."""
        self.do(self.become(listens=True, flows=False))

    def slow(self, seconds: float) -> None:
        """Keep every piece back for some seconds, in both directions."""
        self.do(self.become(listens=True, delay=seconds))

    def flap(self, seconds: float) -> None:
        """Be there and be cut in turns, each for some seconds."""
        self.do(self.begin_flapping(seconds))

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the relay's loop, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def become(self, *, listens: bool, flows: bool = True, delay: float = 0.0) -> None:
        """Change the way it works."""
        if self.flapping:
            self.flapping.cancel()
            self.flapping = None
        self.delay = delay
        (self.flows.set if flows else self.flows.clear)()
        await (self.listen() if listens else self.close())

    async def listen(self) -> None:
        """Take connections."""
        if self.server is None:
            self.server = await asyncio.start_server(self.relay, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Take no connections, and end those that there are."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in [*self.connections]:
            connection.transport.abort()

    async def begin_flapping(self, seconds: float) -> None:
        """Start to be there and not."""

        async def flap() -> None:
            while True:
                await self.close()
                await asyncio.sleep(seconds)
                await self.listen()
                await asyncio.sleep(seconds)

        self.flapping = self.loop.create_task(flap())

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections.add(writer)
        try:
            there, back = await asyncio.open_connection(*self.target)
            self.connections.add(back)
            try:
                await asyncio.gather(self.pump(reader, back), self.pump(there, writer))
            finally:
                self.connections.discard(back)
                back.transport.abort()
        except OSError:
            pass  # the store itself is away
        finally:
            self.connections.discard(writer)
            writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one direction of a connection."""
        while piece := await reader.read(65536):
            await self.flows.wait()
            await asyncio.sleep(self.delay)
            writer.write(piece)
        raise ConnectionResetError  # one side is gone: so is the other


def tiny_disk(directory: Path, size: int) -> None:
    """Mount a file system of some bytes on a new directory; the test is skipped where that is not allowed."""
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("a full disk needs a small file system, and mounting one needs root")


def remove_disk(directory: Path) -> None:
    """Unmount what :func:`tiny_disk` mounted, whoever still has files open there."""
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


#: Seconds within which Nova wants an answer (``[api] vendordata_dynamic_read_timeout``).
PATIENCE: Final = 5.0
