"""Real Redis and memcached processes that belong to one test, which may stop, hang and fill them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Self
from urllib.parse import unquote

import redis
from pymemcache.client.base import Client  # type: ignore[import-untyped]

from tests.support import real_peers as peers
from tests.support.serving import free_port
from tests.support.waiting import wait_until


class OwnStore:
    """A server process on a free loopback port, which it keeps when it is restarted; a context manager."""

    program: str

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        peers.require_program(self.program)
        peers.RAN.setdefault(self.program, self.version())
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self) -> Sequence[str]:
        """Return the command line after the program's name."""
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
        """Whether it takes connections."""
        assert self.process
        assert self.process.poll() is None, f"{self.program} ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
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

    def put(self, name: str, value: bytes) -> None:
        """Put a value there, as anybody could who reaches the store."""
        raise NotImplementedError

    def take(self, name: str) -> bytes | None:
        """Return the value as it is in the store."""
        raise NotImplementedError

    def names(self) -> set[str]:
        """Return the names of all values."""
        raise NotImplementedError

    def lifetime(self, name: str) -> int:
        """Return for how many more seconds the store keeps a value."""
        raise NotImplementedError


class OwnRedis(OwnStore):
    """A Redis that keeps nothing on disk.

    :param memory: bytes that it may take for its data; more are refused.
    """

    program = "redis-server"

    def __init__(self, memory: int = 0) -> None:
        super().__init__()
        self.memory = memory

    def command(self) -> Sequence[str]:
        """Return the address, and that nothing is saved."""
        where = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [*where, "--save", "", "--maxmemory", str(self.memory), "--maxmemory-policy", "noeviction"]

    def put(self, name: str, value: bytes) -> None:
        """Put a value there."""
        with redis.Redis(port=self.port) as client:
            client.set(name, value)

    def take(self, name: str) -> bytes | None:
        """Return the value as it is."""
        with redis.Redis(port=self.port) as client:
            value: bytes | None = client.get(name)
        return value

    def names(self) -> set[str]:
        """Return all names."""
        with redis.Redis(port=self.port) as client:
            return {name.decode() for name in client.scan_iter()}

    def lifetime(self, name: str) -> int:
        """Ask for the seconds."""
        with redis.Redis(port=self.port) as client:
            return int(client.ttl(name))

    def allow(self, memory: int) -> None:
        """Change how many bytes it may take; 0 is no limit."""
        with redis.Redis(port=self.port) as client:
            client.config_set("maxmemory", memory)


class OwnMemcached(OwnStore):
    """A memcached.

    :param evicts: whether it throws out the oldest values when it is full, or refuses new ones.
    """

    program = "memcached"

    def __init__(self, *, evicts: bool = True) -> None:
        super().__init__()
        self.evicts = evicts

    def command(self) -> Sequence[str]:
        """Return the address and the memory; root has to be named."""
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return ["-l", "127.0.0.1", "-p", str(self.port), "-m", "2", *user, *([] if self.evicts else ["-M"])]

    def put(self, name: str, value: bytes) -> None:
        """Put a value there."""
        with closing(Client(("127.0.0.1", self.port))) as client:
            client.set(name, value, flags=1, noreply=False)  # 1 says that it is a pickle, to those who would unpickle

    def take(self, name: str) -> bytes | None:
        """Return the value as it is."""
        with closing(Client(("127.0.0.1", self.port))) as client:
            value: bytes | None = client.get(name)
        return value

    def names(self) -> set[str]:
        """Return all names."""
        with closing(Client(("127.0.0.1", self.port))) as client:
            said = client.raw_command("lru_crawler metadump all", end_tokens="END\r\n").decode()
        return {unquote(word.removeprefix("key=")) for word in said.split() if word.startswith("key=")}

    def lifetime(self, name: str) -> int:
        """Ask for the seconds."""
        with closing(Client(("127.0.0.1", self.port))) as client:
            said = client.raw_command(f"me {name}").decode()
        return abs(int(said.partition("exp=")[2].split()[0]))  # it says -86400, and -1 for ever
