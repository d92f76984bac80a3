"""Nova's side of a boot storm: hosts that ask with kept connections and give up after five seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools

from bench.storm_model import BUILDS, Build, Storm, builds

#: Seconds after which Nova gives up (``[api] vendordata_dynamic_read_timeout``).
PATIENCE: Final = 5.0
TOO_LATE: Final = "too late"
BROKEN: Final = "broken"


class Reply(NamedTuple):
    """What became of one call.

    :ivar number: of the call, for its instance; 0 is the first.
    :ivar outcome: the status, or :data:`TOO_LATE`, or :data:`BROKEN` when the connection was.
    :ivar seconds: until the whole answer was there, connecting included.
    """

    instance: str
    number: int
    outcome: str
    seconds: float
    body: bytes


class Blown(NamedTuple):
    """A storm that is over.

    :ivar seconds: that it took.
    :ivar driver: seconds of CPU that this side of it took.
    """

    replies: Sequence[Reply]
    seconds: float
    driver: float


class Connection(asyncio.Protocol):
    """A kept connection with one request at a time; methods beginning with ``on_`` are for httptools."""

    def __init__(self) -> None:
        self.is_open = False
        self.answered: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.is_open = True

    def connection_lost(self, _: Exception | None) -> None:
        """End the request that waits, if one does."""
        self.is_open = False
        if self.answered and not self.answered.done():
            self.answered.set_exception(ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Parse some of an answer."""
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Collect the body."""
        self.body += part

    def on_message_complete(self) -> None:
        """Hand out the answer."""
        if not self.parser.should_keep_alive():
            self.close()
        if self.answered and not self.answered.done():
            self.answered.set_result((self.parser.get_status_code(), self.body))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request, and give status and body of its answer.

        :raises ConnectionError: it broke before.
        """
        self.body = b""
        self.parser = httptools.HttpResponseParser(self)
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answered

    def close(self) -> None:
        """End it."""
        self.is_open = False
        self.transport.close()


class Host:
    """A nova-compute: one token, and connections that all its builds share, the last used first."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        assert address.hostname
        assert address.port
        self.at = (address.hostname, address.port)
        self.head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nUser-Agent: openstack-nova-vendordata\r\n"
            "Accept-Encoding: gzip, deflate\r\nAccept: application/json\r\nConnection: keep-alive\r\n"
            f"Content-Type: application/json\r\nX-Auth-Token: {token}\r\nContent-Length: "
        )
        self.idle: list[Connection] = []
        self.places = asyncio.Semaphore(BUILDS)
        self.replies: list[Reply] = []

    async def build(self, build: Build, begun: float, calls: int) -> None:
        """Make one config drive, when its time has come; ``begun`` is the storm's, on the loop's clock."""
        await asyncio.sleep(begun + build.begins - asyncio.get_running_loop().time())
        async with self.places:
            for number in range(calls):
                self.replies.append(await self.call(build, number))

    async def call(self, build: Build, number: int) -> Reply:
        """Ask once; what goes wrong is an outcome, as it is for Nova."""
        begun = time.perf_counter()
        outcome, body = BROKEN, b""
        try:
            async with asyncio.timeout(PATIENCE):
                outcome, body = await self.ask(f"{self.head}{len(build.body)}\r\n\r\n".encode() + build.body)
        except TimeoutError:
            outcome = TOO_LATE
        except OSError:
            pass
        return Reply(build.instance, number, outcome, time.perf_counter() - begun, body)

    async def ask(self, request: bytes) -> tuple[str, bytes]:
        """Ask on a kept connection, or a new one; it is closed when there is no answer on it."""
        connection = await self.connection()
        try:
            status, body = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self.idle.append(connection)
        return str(status), body

    async def connection(self) -> Connection:
        """Give one that nobody uses."""
        while self.idle:
            kept = self.idle.pop()
            if kept.is_open:
                return kept
        _, made = await asyncio.get_running_loop().create_connection(Connection, *self.at)
        return made


async def blow(storm: Storm, url: str, tokens: Sequence[str]) -> Blown:
    """Let a storm blow, from first to last call.

    :param url: of the target.
    :param tokens: one for each host.
    """
    hosts = [Host(url, token) for token in tokens]
    planned = builds(storm)
    begun, cpu = asyncio.get_running_loop().time(), time.process_time()
    await asyncio.gather(*(hosts[build.host].build(build, begun, storm.calls) for build in planned))
    seconds, driver = asyncio.get_running_loop().time() - begun, time.process_time() - cpu
    for host in hosts:
        for connection in host.idle:
            connection.close()
    return Blown([reply for host in hosts for reply in host.replies], seconds, driver)
