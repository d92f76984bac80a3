"""A relay that makes any store fail in every way that a network does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

from tests.serving import free_port


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
        self.do(self.end())
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

    async def end(self) -> None:
        """Leave nothing behind."""
        await self.become(listens=False)
        async with asyncio.timeout(60):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
                await self.close()  # also what was just being taken

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
                pumps = [asyncio.create_task(self.pump(*pair)) for pair in ((reader, back), (there, writer))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)  # one side is gone: so is the other
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
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
