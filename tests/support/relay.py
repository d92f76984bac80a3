"""A relay that makes any store fail in every way that a network does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

from tests.support.serving import free_port


class Relay:
    """A TCP relay on a free loopback port in front of a store that nobody may stop; a context manager.

    It works well until it is told otherwise; a test ends every fault with :meth:`heal`.

    :ivar taken: how many connections it took.
    :ivar asked: how many pieces came from those who connect.
    :ivar connections: those that there are.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = free_port()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.listener: socket.socket | None = None
        self.connections: set[asyncio.Task[None]] = set()
        self.flapping: asyncio.Task[None] | None = None
        self.steady = asyncio.Event()
        self.flows = asyncio.Event()
        self.delay = 0.0
        self.taken = 0
        self.asked = 0

    def __enter__(self) -> Self:
        self.thread.start()
        self.heal()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
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
        asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def become(self, *, listens: bool, flows: bool = True, delay: float = 0.0) -> None:
        """Change the way it works."""
        if self.flapping:
            self.steady.set()
            await self.flapping
            self.flapping = None
        self.delay = delay
        (self.flows.set if flows else self.flows.clear)()
        if listens:
            self.listen()
        else:
            await self.close()

    def listen(self) -> None:
        """Take connections."""
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port))
            self.listener.setblocking(False)
            self.loop.add_reader(self.listener, self.take, self.listener)

    def take(self, listener: socket.socket) -> None:
        """Take a connection.

        asyncio's own server leaves one open that it takes while it is being closed (Python 3.11).
        """
        with suppress(OSError):  # who came has gone again
            connection, _ = listener.accept()
            self.taken += 1
            task = self.loop.create_task(self.relay(connection))
            self.connections.add(task)
            task.add_done_callback(lambda _: connection.close())  # also when it was cancelled before it began
            task.add_done_callback(self.connections.discard)

    async def close(self) -> None:
        """Take no connections, and end those that there are."""
        if self.listener is not None:
            self.loop.remove_reader(self.listener)
            self.listener.close()
            self.listener = None
        for connection in self.connections:
            connection.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def begin_flapping(self, seconds: float) -> None:
        """Start to be there and not."""
        self.steady.clear()

        async def flap() -> None:
            while not self.steady.is_set():
                await self.close()
                await self.stay(seconds)
                self.listen()
                await self.stay(seconds)

        self.flapping = self.loop.create_task(flap())

    async def stay(self, seconds: float) -> None:
        """Flap no further for some seconds, or until that is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.steady.wait()

    async def relay(self, connection: socket.socket) -> None:
        """Serve one connection."""
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            there, back = await asyncio.open_connection(*self.target)
            try:
                await self.pump_both(reader, back, there, writer)
            finally:
                back.transport.abort()
        except OSError:
            pass  # the store itself is away
        finally:
            writer.transport.abort()

    async def pump_both(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass on both directions until one side is gone."""
        asking = asyncio.create_task(self.pump(reader, back, asks=True))
        answering = asyncio.create_task(self.pump(there, writer))
        try:
            await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool = False) -> None:
        """Pass on one direction of a connection."""
        while piece := await reader.read(65536):
            self.asked += asks
            await self.flows.wait()
            await asyncio.sleep(self.delay)
            writer.write(piece)
