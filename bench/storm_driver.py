"""Nova's side of a boot storm: hosts with persistent connections and a read timeout of five seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools

from bench.storm_model import BUILDS, Build, Storm, builds

#: Nova's read timeout in seconds (``[api] vendordata_dynamic_read_timeout``).
READ_TIMEOUT: Final = 5.0
TOO_LATE: Final = "too late"
BROKEN: Final = "broken"


class Reply(NamedTuple):
    """The result of one call.

    :ivar number: of the call for its instance; 0 is the first.
    :ivar outcome: the status, :data:`TOO_LATE`, or :data:`BROKEN` if the connection broke.
    :ivar seconds: until the answer was complete, connecting included.
    """

    instance: str
    number: int
    outcome: str
    seconds: float
    body: bytes


class Result(NamedTuple):
    """The result of a storm.

    :ivar seconds: its duration.
    :ivar driver: CPU seconds of the simulated hosts.
    """

    replies: Sequence[Reply]
    seconds: float
    driver: float


class Connection(asyncio.Protocol):
    """A persistent connection with one request at a time; httptools calls the methods beginning with ``on_``."""

    def __init__(self) -> None:
        self.is_open = False
        self.answered: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection is open."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.is_open = True

    def connection_lost(self, _: Exception | None) -> None:
        """Fail the request that waits for an answer."""
        self.is_open = False
        if self.answered and not self.answered.done():
            self.answered.set_exception(ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Parse a part of an answer."""
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Collect the body."""
        self.body += part

    def on_message_complete(self) -> None:
        """Complete the answer."""
        if not self.parser.should_keep_alive():
            self.close()
        if self.answered and not self.answered.done():
            self.answered.set_result((self.parser.get_status_code(), self.body))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request, and return the status and body of its answer.

        :raises ConnectionError: the connection broke before the answer.
        """
        self.body = b""
        self.parser = httptools.HttpResponseParser(self)
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answered

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        self.transport.close()


class Host:
    """A nova-compute: one token, and connections that its builds share, most recently used first."""

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
        self.build_slots = asyncio.Semaphore(BUILDS)
        self.replies: list[Reply] = []

    async def build(self, build: Build, started: float, calls: int) -> None:
        """Build one config drive at its time; ``started`` is the storm's start on the event loop's clock."""
        await asyncio.sleep(started + build.begins - asyncio.get_running_loop().time())
        async with self.build_slots:
            for number in range(calls):
                self.replies.append(await self.call(build, number))

    async def call(self, build: Build, number: int) -> Reply:
        """Make one call; a failure is an outcome."""
        started = time.perf_counter()
        outcome, body = BROKEN, b""
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                outcome, body = await self.send(f"{self.head}{len(build.body)}\r\n\r\n".encode() + build.body)
        except TimeoutError:
            outcome = TOO_LATE
        except OSError:
            pass
        return Reply(build.instance, number, outcome, time.perf_counter() - started, body)

    async def send(self, request: bytes) -> tuple[str, bytes]:
        """Send a request on an idle or a new connection, which is closed if there is no answer."""
        connection = await self.connection()
        try:
            status, body = await connection.send(request)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self.idle.append(connection)
        return str(status), body

    async def connection(self) -> Connection:
        """Return an idle connection, or a new one."""
        while self.idle:
            idle = self.idle.pop()
            if idle.is_open:
                return idle
        _, new = await asyncio.get_running_loop().create_connection(Connection, *self.at)
        return new


async def run_storm(storm: Storm, url: str, tokens: Sequence[str]) -> Result:
    """Run a storm from its first to its last call.

    :param tokens: one for each host.
    """
    hosts = [Host(url, token) for token in tokens]
    planned = builds(storm)
    started, cpu = asyncio.get_running_loop().time(), time.process_time()
    await asyncio.gather(*(hosts[build.host].build(build, started, storm.calls) for build in planned))
    seconds, driver = asyncio.get_running_loop().time() - started, time.process_time() - cpu
    for host in hosts:
        for connection in host.idle:
            connection.close()
    return Result([reply for host in hosts for reply in host.replies], seconds, driver)
