"""A host that is cut off while Nova asks, and comes back: what fails, for how long, and whether answers stay single."""

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

#: Those who ask at once, and seconds that each waits for an answer, as Nova does.
ASKING: Final = 8
PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    :ivar at: when it was sent, in seconds on the monotonic clock.
    :ivar status: 0 when there was no answer.
    :ivar host: who answered, by HAProxy's name.
    """

    at: float
    seconds: float
    instance: str
    status: int
    body: bytes
    host: str


class Load:
    """Requests without a pause, half of them for instances that were never asked for."""

    def __init__(self, url: str, token: str) -> None:
        self.asked: list[Asked] = []
        self.known: list[str] = []
        self.numbers = itertools.count(1)
        self.ended = threading.Event()
        self.client = httpx.Client(base_url=url, timeout=PATIENCE, headers={**HEADERS, "X-Auth-Token": token})

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Ask meanwhile."""
        with self.client, ThreadPoolExecutor(ASKING) as pool:
            asking = [pool.submit(self.go_on) for _ in range(ASKING)]
            try:
                yield
            finally:
                self.ended.set()
        for each in asking:
            each.result()

    def go_on(self) -> None:
        """Ask until the end."""
        while not self.ended.is_set():
            if self.known and random.random() < 0.5:
                instance = random.choice(self.known)
            else:
                instance = str(UUID(int=next(self.numbers)))
                self.known.append(instance)
            self.ask(instance)

    def ask(self, instance: str) -> None:
        """Ask for one instance."""
        begun = time.monotonic()
        try:
            response = self.client.post("/pinned", content=BODY.replace(INSTANCE.encode(), instance.encode()))
            status, body, host = response.status_code, response.content, response.headers.get(SERVED_BY, "")
        except httpx.TransportError:
            status, body, host = 0, b"", ""
        self.asked.append(Asked(begun, time.monotonic() - begun, instance, status, body, host))

    def answered_by(self, host: str, since: float) -> int:
        """Count the good answers that a host has given to what was sent since then."""
        return sum(each.host == host and each.status == 200 and each.at >= since for each in [*self.asked])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it.

    :ivar instances: that got an answer.
    :ivar most_answers: different ones that any of them got.
    :ivar runs: of the handler, on both hosts.
    :ivar failed: requests without an answer, by what came instead.
    :ivar last_failure: seconds from the cut until the last request was sent that failed, or 0.
    :ivar slowest: seconds that the slowest answer took.
    :ivar back_after: seconds from its return until the host had answered again.
    """

    requests: int
    instances: int
    most_answers: int
    runs: int
    failed: dict[int, int]
    last_failure: float
    slowest: float
    back_after: float


def cut_and_join(cloud: Cloud, token: str, runs: Path, seconds: float) -> Outcome:
    """Ask both hosts, cut the second one off for a time, and let it come back.

    :param runs: where the handlers leave a file for each run.
    :param seconds: before, during and after the cut.
    """
    load = Load(cloud.two, token)
    second = cloud.hosts[1]
    with load.flowing():
        time.sleep(seconds)
        cut = time.monotonic()
        second.cut_off()
        time.sleep(max(seconds, PATIENCE + 1))
        back = time.monotonic()
        second.join()
        wait_until(lambda: load.answered_by("two", back), 60)
        back_after = time.monotonic() - back
        time.sleep(seconds)
    bodies = defaultdict(set)
    for each in load.asked:
        if each.status == 200:
            bodies[each.instance].add(each.body)
    failed = [each for each in load.asked if each.status != 200]
    return Outcome(
        requests=len(load.asked),
        instances=len(bodies),
        most_answers=max(map(len, bodies.values())),
        runs=len(list(runs.glob("*.*"))),
        failed={status: sum(each.status == status for each in failed) for status in {each.status for each in failed}},
        last_failure=round(max((each.at for each in failed), default=cut) - cut, 2),
        slowest=round(max(each.seconds for each in load.asked if each.status == 200), 2),
        back_after=round(back_after, 1),
    )
