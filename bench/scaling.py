"""One host and two behind HAProxy, pins on one PostgreSQL: throughput, correctness, and a host that is cut off."""

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
from bench.scaling_cut import cut_and_join
from bench.scaling_hosts import Cloud, Host, cloud, why_not
from bench.wrk import drive
from tests.support.databases import database
from tests.support.peers.server import Options
from tests.support.pin_stores import make_table

#: What two hosts are asked to give in terms of one; and, where cores are too few to show it, what a request may cost
#: them of a processor in terms of what it costs one.
TWICE, FLAT = 1.7, 1.1
#: Two hosts, wrk, HAProxy and PostgreSQL, each with a core of its own.
ENOUGH_CORES: Final = 6
PATHS: Final = {"trivial handler": "/trivial", "pinned on PostgreSQL": "/bench"}
HANDLERS: Final = "bench.handlers:Trivial, bench.scaling_handlers:Bench, tests.support.handlers.keeping:Pinned"

Rows = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of driving hosts.

    :ivar rate: requests a second.
    :ivar cost: microseconds of a processor that a request took of all servers together.
    """

    rate: float
    cost: float


def report() -> Rows:
    """Give a row for each figure; one alone, that says why, where there can be no hosts."""
    if reason := why_not():
        return [{"what": "two hosts", "reached": f"not measured: {reason}"}]
    effort = EFFORT.get()
    few_cores = len(os.sched_getaffinity(0)) < ENOUGH_CORES
    with TemporaryDirectory() as name, keystone_and_token() as (keystone, token), database("postgresql") as pins:
        folder = Path(name)
        runs = folder / "runs"
        runs.mkdir()
        make_table(pins.url)
        options: Options = {"vendorsrv": {"handlers": HANDLERS}, "handler:pinned": {"runs": runs}}
        # Where cores are few the hosts share one: then what a request costs says how they would do apart.
        with cloud(folder, keystone.url, pins.url, options, shared_core=few_cores) as hosts:
            rows = of_rates(hosts, token, effort.rounds, few_cores=few_cores)
            return [*rows, *of_cut(hosts, token, runs, effort.seconds)]


def of_rates(hosts: Cloud, token: str, rounds: int, *, few_cores: bool) -> Rows:
    """Drive one host and both in turn, every second time backwards."""
    rows: Rows = []
    for what, path in PATHS.items():
        found: dict[int, list[Driven]] = {1: [], 2: []}
        for _ in range(rounds):
            for number in (1, 2, 2, 1):
                url, servers = (hosts.one, [hosts.alone]) if number == 1 else (hosts.two, hosts.hosts)
                found[number].append(driven(f"{url}{path}", servers, token))
        rate = ratio([each.rate for each in found[1]], [each.rate for each in found[2]])
        cost = ratio([each.cost for each in found[1]], [each.cost for each in found[2]])
        rates = " / ".join(f"{statistics.median(each.rate for each in found[number]):.0f}/s" for number in (2, 1))
        costs = " / ".join(f"{statistics.median(each.cost for each in found[number]):.0f} us" for number in (2, 1))
        goal = {**NO_GOAL, "reached": "its cores are too few to show it"} if few_cores else at_least(rate, TWICE)
        rows += [
            {"what": f"{what}: rate of two hosts / of one", "value": rate, **goal, "more": rates},
            {"what": f"{what}: CPU a request, two / one", "value": cost, **at_most(cost, FLAT), "more": costs},
        ]
    return rows


def ratio(one: list[float], two: list[float]) -> float:
    """Give the median of what the second gave in terms of the first, round by round."""
    return round(statistics.median(second / first for first, second in zip(one, two, strict=True)), 3)


def driven(url: str, hosts: Sequence[Host], token: str) -> Driven:
    """Drive hosts through HAProxy, and look at what their processes took."""
    effort = EFFORT.get()
    before = sum(host.seconds() for host in hosts)
    # As many for each: a loop that finds several requests at once takes less for each of them.
    connections = effort.connections * len(hosts)
    run = drive(url, token, bodies(200), seconds=effort.seconds, connections=connections)
    assert not run.errors, run.errors
    taken = sum(host.seconds() for host in hosts) - before
    return Driven(run.rate, taken / (run.rate * effort.seconds) * 1e6)


def of_cut(hosts: Cloud, token: str, runs: Path, seconds: float) -> Rows:
    """Cut a host off, and let it come back."""
    found = cut_and_join(hosts, token, runs, seconds)
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
