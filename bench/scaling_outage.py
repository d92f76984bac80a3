"""The outage of one host under load: which requests fail and for how long, and whether instances keep one answer."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx

from bench.scaling_hosts import SERVED_BY, Cloud
from bench.wrk import HEADERS
from tests.support.serving import BODY, INSTANCE
from tests.support.waiting import wait_until

#: Concurrent clients, and the seconds that each waits for an answer (Nova's read timeout).
CLIENTS: Final = 8
TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and its result.

    :ivar at: when it was sent, in seconds of the monotonic clock.
    :ivar status: 0 if there was no answer.
    :ivar host: the host that answered, by its name in HAProxy.
    """

    at: float
    seconds: float
    instance: str
    status: int
    body: bytes
    host: str


class Load:
    """A constant load; half of the requests are for new instances."""

    def __init__(self, url: str, token: str) -> None:
        self.sent: list[Sent] = []
        self.known: list[str] = []
        self.numbers = itertools.count(1)
        self.ended = threading.Event()
        self.client = httpx.Client(base_url=url, timeout=TIMEOUT, headers={**HEADERS, "X-Auth-Token": token})

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests meanwhile."""
        with self.client, ThreadPoolExecutor(CLIENTS) as pool:
            sending = [pool.submit(self.send_requests) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self.ended.set()
        for each in sending:
            each.result()

    def send_requests(self) -> None:
        """Send requests until the load ends."""
        while not self.ended.is_set():
            if self.known and random.random() < 0.5:
                instance = random.choice(self.known)
            else:
                instance = str(UUID(int=next(self.numbers)))
                self.known.append(instance)
            self.send(instance)

    def send(self, instance: str) -> None:
        """Send one request."""
        started = time.monotonic()
        try:
            response = self.client.post("/pinned", content=BODY.replace(INSTANCE.encode(), instance.encode()))
            status, body, host = response.status_code, response.content, response.headers.get(SERVED_BY, "")
        except httpx.TransportError:
            status, body, host = 0, b"", ""
        self.sent.append(Sent(started, time.monotonic() - started, instance, status, body, host))

    def answered_by(self, host: str, since: float) -> int:
        """Return how many requests that were sent since then got 200 from a host."""
        return sum(each.host == host and each.status == 200 and each.at >= since for each in [*self.sent])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the outage.

    :ivar instances: with at least one answer.
    :ivar most_answers: the most different answers of one instance.
    :ivar runs: of the handler, on both hosts.
    :ivar failed: requests that failed, by status; 0 is no answer.
    :ivar last_failure: seconds from the cut until the last failing request was sent; 0 if none failed.
    :ivar slowest: seconds of the slowest 200.
    :ivar back_after: seconds from the reconnection until the host answered again.
    """

    requests: int
    instances: int
    most_answers: int
    runs: int
    failed: dict[int, int]
    last_failure: float
    slowest: float
    back_after: float


def disconnect_and_reconnect(cloud: Cloud, token: str, runs: Path, seconds: float) -> Outcome:
    """Send requests to both hosts while the second one is disconnected for a time.

    :param runs: the directory with a file for each run of a handler.
    :param seconds: of load before, during and after the outage.
    """
    load = Load(cloud.two, token)
    second = cloud.hosts[1]
    with load.running():
        time.sleep(seconds)
        cut = time.monotonic()
        second.disconnect()
        time.sleep(max(seconds, TIMEOUT + 1))
        back = time.monotonic()
        second.reconnect()
        wait_until(lambda: load.answered_by("two", back), 60)
        back_after = time.monotonic() - back
        time.sleep(seconds)
    bodies = defaultdict(set)
    for each in load.sent:
        if each.status == 200:
            bodies[each.instance].add(each.body)
    failed = [each for each in load.sent if each.status != 200]
    return Outcome(
        requests=len(load.sent),
        instances=len(bodies),
        most_answers=max(map(len, bodies.values())),
        runs=len(list(runs.glob("*.*"))),
        failed={status: sum(each.status == status for each in failed) for status in {each.status for each in failed}},
        last_failure=round(max((each.at for each in failed), default=cut) - cut, 2),
        slowest=round(max(each.seconds for each in load.sent if each.status == 200), 2),
        back_after=round(back_after, 1),
    )
