"""Two hosts behind HAProxy instead of one, with pins on one PostgreSQL: throughput, and the outage of a host."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.contenders import bodies, keystone_and_token
from bench.effort import EFFORT
from bench.goals import NO_GOAL, at_least, at_most, exactly
from bench.scaling_hosts import Cloud, Host, cloud, missing_requirement
from bench.scaling_outage import disconnect_and_reconnect
from bench.wrk import drive
from tests.support.databases import database
from tests.support.peers.server import Options
from tests.support.pin_stores import make_table

#: The goals, two hosts relative to one: the least rate if there are enough cores, and the most CPU for a request.
LEAST_RATE, MOST_CPU = 1.7, 1.1
#: For two hosts, wrk, HAProxy and PostgreSQL, each on a core of its own.
ENOUGH_CORES: Final = 6
PATHS: Final = {"trivial handler": "/trivial", "pinned on PostgreSQL": "/bench"}
HANDLERS: Final = "bench.handlers:Trivial, bench.scaling_handlers:Bench, tests.support.handlers.keeping:Pinned"

Rows = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run of wrk.

    :ivar rate: requests a second.
    :ivar cost: CPU microseconds of a request, of all servers together.
    """

    rate: float
    cost: float


def report() -> Rows:
    """Return a row for each figure; where hosts cannot run, one row that says why."""
    if reason := missing_requirement():
        return [{"what": "two hosts", "reached": f"not measured: {reason}"}]
    effort = EFFORT.get()
    few_cores = len(os.sched_getaffinity(0)) < ENOUGH_CORES
    with TemporaryDirectory() as name, keystone_and_token() as (keystone, token), database("postgresql") as pins:
        folder = Path(name)
        runs = folder / "runs"
        runs.mkdir()
        make_table(pins.url)
        options: Options = {"vendorsrv": {"handlers": HANDLERS}, "handler:pinned": {"runs": runs}}
        # With few cores the hosts share one: the CPU of a request shows how they would scale on machines of their own.
        with cloud(folder, keystone.url, pins.url, options, shared_core=few_cores) as hosts:
            rows = rate_rows(hosts, token, effort.rounds, few_cores=few_cores)
            return [*rows, *outage_rows(hosts, token, runs, effort.seconds)]


def rate_rows(hosts: Cloud, token: str, rounds: int, *, few_cores: bool) -> Rows:
    """Measure one host and both in turn, in alternating order."""
    rows: Rows = []
    for what, path in PATHS.items():
        found: dict[int, list[Result]] = {1: [], 2: []}
        for _ in range(rounds):
            for number in (1, 2, 2, 1):
                url, servers = (hosts.one, [hosts.alone]) if number == 1 else (hosts.two, hosts.hosts)
                found[number].append(measure(f"{url}{path}", servers, token))
        rate = ratio([each.rate for each in found[1]], [each.rate for each in found[2]])
        cost = ratio([each.cost for each in found[1]], [each.cost for each in found[2]])
        rates = " / ".join(f"{statistics.median(each.rate for each in found[number]):.0f}/s" for number in (2, 1))
        costs = " / ".join(f"{statistics.median(each.cost for each in found[number]):.0f} us" for number in (2, 1))
        goal = {**NO_GOAL, "reached": "its cores are too few to show it"} if few_cores else at_least(rate, LEAST_RATE)
        rows += [
            {"what": f"{what}: rate of two hosts / of one", "value": rate, **goal, "more": rates},
            {"what": f"{what}: CPU a request, two / one", "value": cost, **at_most(cost, MOST_CPU), "more": costs},
        ]
    return rows


def ratio(one: list[float], two: list[float]) -> float:
    """Return the median of the second relative to the first, round by round."""
    return round(statistics.median(second / first for first, second in zip(one, two, strict=True)), 3)


def measure(url: str, hosts: Sequence[Host], token: str) -> Result:
    """Run wrk against hosts behind HAProxy, and measure the CPU time of their servers."""
    effort = EFFORT.get()
    before = sum(host.seconds() for host in hosts)
    # As many for each host: an event loop with several requests waiting takes less CPU for each.
    connections = effort.connections * len(hosts)
    run = drive(url, token, bodies(200), seconds=effort.seconds, connections=connections)
    assert not run.errors, run.errors
    taken = sum(host.seconds() for host in hosts) - before
    return Result(run.rate, taken / (run.rate * effort.seconds) * 1e6)


def outage_rows(hosts: Cloud, token: str, runs: Path, seconds: float) -> Rows:
    """Disconnect a host, reconnect it, and return rows for what happened."""
    found = disconnect_and_reconnect(hosts, token, runs, seconds)
    failed = ", ".join(
        f"{count} x {status or 'cut off without an answer'}" for status, count in sorted(found.failed.items())
    )
    answers = exactly(found.most_answers, 1)
    return [
        {
            "what": "answers of an instance, whoever gave them",
            "value": found.most_answers,
            **answers,
            "more": f"{found.instances} instances, {found.requests} requests, {found.runs} runs",
        },
        {
            "what": "a host cut off: requests that failed",
            "value": sum(found.failed.values()),
            **NO_GOAL,
            "more": failed,
        },
        {
            "what": "seconds after the cut in which such were sent",
            "value": found.last_failure,
            **NO_GOAL,
            "more": f"the slowest answer took {found.slowest} s",
        },
        {"what": "seconds until it served again", "value": found.back_after, **NO_GOAL},
    ]
