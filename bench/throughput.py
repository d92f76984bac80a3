"""The rate of each contender on one core, relative to the floor."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import click

from bench.contenders import INSTANCES, Contender, bodies, keystone_and_token, running
from bench.effort import EFFORT
from bench.goals import NO_GOAL, at_least
from bench.growth_footprint import seconds_of_all
from bench.wrk import Run, drive

#: The least rate of the first contender relative to the second.
GOALS: Final = {
    ("vendorsrv", "floor"): 0.50,
    ("vendorsrv", "fastapi"): 2.0,
    ("vendorsrv", "wsgi-gunicorn"): 15.0,
    ("vendorsrv-cached", "floor"): 0.40,
    ("vendorsrv-pinned-sqlite", "floor"): 0.20,
}
#: More pairs to compare, without a goal.
ALSO: Final = (("vendorsrv", "wsgi-waitress"),)

Runs = Mapping[str, Sequence[Run]]


class Ratio(NamedTuple):
    """The rate of one contender relative to another in the same round: the median of the rounds and their range."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.lowest:.3g}-{self.highest:.3g}"


def report() -> list[dict[str, object]]:
    """Return a row for each contender relative to the floor, and for each other pair with a goal."""
    with (
        TemporaryDirectory() as folder,
        keystone_and_token() as (keystone, token),
        running(Path(folder), keystone) as contenders,
    ):
        return rows(alternate(contenders, token))


def alternate(contenders: Sequence[Contender], token: str) -> dict[str, list[Run]]:
    """Measure the contenders in turn, round after round, every second round in reverse.

    First each contender's answers are checked, and it is warmed up.
    """
    effort = EFFORT.get()
    payloads = bodies(INSTANCES)
    runs: dict[str, list[Run]] = {each.name: [] for each in contenders}
    for each in contenders:
        each.check(token)
        drive(each.url, token, payloads, seconds=1, connections=effort.connections)
    for number in range(effort.rounds):
        click.echo(f"  round {number + 1} of {effort.rounds}", err=True)
        for each in contenders if number % 2 == 0 else reversed(contenders):
            runs[each.name].append(measure(each, token, payloads))
    return runs


def measure(contender: Contender, token: str, payloads: Sequence[bytes]) -> Run:
    """Run wrk against a contender, and measure its CPU time."""
    effort = EFFORT.get()
    before = seconds_of_all(contender.pid)
    run = drive(contender.url, token, payloads, seconds=effort.seconds, connections=effort.connections)
    return replace(run, processor=(seconds_of_all(contender.pid) - before) / run.requests * 1e6)


def rows(runs: Runs) -> list[dict[str, object]]:
    """Return the rows of the report."""
    names = [name for name in runs if name != "floor"]
    pairs = [("floor", "floor"), *((name, "floor") for name in names)]
    pairs += [pair for pair in (*GOALS, *ALSO) if pair not in pairs and {*pair} <= {*runs}]
    return [row(pair, runs) for pair in pairs]


def row(pair: tuple[str, str], runs: Runs) -> dict[str, object]:
    """Return the row of one contender relative to another."""
    name, of = pair
    own = runs[name]
    errors = failures([*own, *runs[of]])
    ratio = compare(own, runs[of])
    goal = at_least(round(ratio.median, 3), GOALS[pair]) if pair in GOALS else NO_GOAL
    return {
        "what": f"{name} / {of}",
        "ratio": "no result" if errors else f"{ratio.median:.3g}",
        "spread": str(ratio),
        **goal,
        **({"reached": f"no result: {errors}"} if errors else {}),
        "requests/s": round(statistics.median(run.rate for run in own)),
        "CPU µs": round(statistics.median(run.processor for run in own)),
        "p50 ms": round(statistics.median(run.p50 for run in own), 2),
        "p99 ms": round(statistics.median(run.p99 for run in own), 2),
    }


def compare(own: Sequence[Run], others: Sequence[Run]) -> Ratio:
    """Compare rates within each round: other work on the machine slows both down."""
    ratios = [mine.rate / theirs.rate for mine, theirs in zip(own, others, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def failures(runs: Sequence[Run]) -> str:
    """Return the errors of all runs as text; empty if there are none."""
    kinds = sorted({kind for run in runs for kind in run.errors})
    return ", ".join(f"{sum(run.errors.get(kind, 0) for run in runs)} {kind}" for kind in kinds)
