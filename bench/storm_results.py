"""The figures of a boot storm, and their goals."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.goals import at_most, exactly
from bench.storm_driver import READ_TIMEOUT, Reply, Result
from bench.storm_model import Storm

Row = dict[str, object]


@dataclass(frozen=True)
class Outcome:
    """One storm against one contender.

    :ivar runs: of the backend.
    :ivar validations: of tokens, by Keystone.
    :ivar server: CPU seconds of the server's processes, without the database's.
    """

    storm: Storm
    workers: int
    result: Result
    runs: int
    validations: int
    server: float

    @property
    def replies(self) -> Sequence[Reply]:
        """The result of each call."""
        return self.result.replies

    @property
    def outcomes(self) -> Counter[str]:
        """The number of calls by outcome."""
        return Counter(reply.outcome for reply in self.replies)

    @property
    def timed_out(self) -> int:
        """How many calls exceeded Nova's read timeout."""
        return sum(reply.seconds >= READ_TIMEOUT for reply in self.replies)

    @cached_property
    def answers(self) -> dict[str, Counter[bytes]]:
        """The answers of each instance, and how often it got each."""
        found: dict[str, Counter[bytes]] = defaultdict(Counter)
        for reply in self.replies:
            if reply.outcome == "200":
                found[reply.instance][reply.body] += 1
        return found

    @property
    def consistent(self) -> int:
        """How many instances got the same answer at all of their calls."""
        return sum([self.storm.calls] == list(given.values()) for given in self.answers.values())

    @property
    def most_answers(self) -> int:
        """The most different answers of one instance."""
        return max(map(len, self.answers.values()), default=0)

    def percentile(self, share: float, first: bool | None = None) -> float:
        """Return the milliseconds within which this share of the calls ended.

        :param first: only the first calls of the instances, or only the later ones.
        """
        seconds = sorted(reply.seconds for reply in self.replies if first in (None, reply.number == 0))
        return round(1000 * seconds[max(0, math.ceil(share * len(seconds)) - 1)], 1)


def measures(outcome: Outcome) -> Row:
    """Return the figures of one storm, by name."""
    calls = len(outcome.replies)
    others = {name: count for name, count in outcome.outcomes.items() if name != "200"}
    return {
        "calls answered with 200": outcome.outcomes["200"],
        "other outcomes": ", ".join(f"{count} {name}" for name, count in sorted(others.items())) or "none",
        "runs of the backend": outcome.runs,
        "instances with one answer at all their calls": outcome.consistent,
        "different answers for one instance, at most": outcome.most_answers,
        "Keystone validations": outcome.validations,
        "calls past Nova's 5 s": outcome.timed_out,
        "p50, ms": outcome.percentile(0.5),
        "p90, ms": outcome.percentile(0.9),
        "p99, ms": outcome.percentile(0.99),
        "longest, ms": outcome.percentile(1),
        "p50 of first calls, ms": outcome.percentile(0.5, first=True),
        "p50 of later calls, ms": outcome.percentile(0.5, first=False) if outcome.storm.calls > 1 else 0.0,
        "seconds of the storm": round(outcome.result.seconds, 1),
        "calls a second": round(calls / outcome.result.seconds, 1),
        "server's CPU, ms a call": round(1000 * outcome.server / calls, 2),
        "driver's CPU, share of one core": round(outcome.result.driver / outcome.result.seconds, 2),
    }


def side_by_side(outcomes: dict[str, Outcome]) -> list[Row]:
    """Return a row for each figure, with a column for each contender and, for two numbers, their ratio."""
    columns = {name: measures(outcome) for name, outcome in outcomes.items()}
    rows: list[Row] = []
    for measure in next(iter(columns.values())):
        values = {name: column[measure] for name, column in columns.items()}
        rows.append({"what": measure, **values, "ratio": ratio(list(values.values()))})
    return rows


def ratio(values: Sequence[object]) -> str:
    """Return the second number relative to the first."""
    match values:
        case [float() | int() as first, float() | int() as second] if first > 0:
            return f"{second / first:.2f}"
    return ""


def figures(full: Outcome, single: Outcome) -> list[Row]:
    """Return a row for each goal, with whether it is reached.

    :param full: the storm against vendorsrv with all its workers.
    :param single: the storm against vendorsrv with one worker.
    """
    storm, alone = full.storm, single.storm.hosts
    here = f"{storm.instances:,} instances, {storm.calls} calls each, {storm.hosts} hosts, {full.workers} workers: "
    most = storm.hosts * full.workers
    return [
        {"what": here + "runs of the handler", "measured": full.runs, **exactly(full.runs, storm.instances)},
        {
            "what": here + "instances with one answer",
            "measured": full.consistent,
            **exactly(full.consistent, storm.instances),
        },
        {"what": here + "calls past Nova's five seconds", "measured": full.timed_out, **exactly(full.timed_out, 0)},
        {"what": here + "Keystone validations", "measured": full.validations, **at_most(full.validations, most)},
        {
            "what": f"{alone} hosts, {single.workers} worker: Keystone validations",
            "measured": single.validations,
            **exactly(single.validations, alone),
        },
    ]
