"""What a boot storm did to a server, counted, and what the project set itself to reach."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.goals import at_most, exactly
from bench.storm_driver import PATIENCE, Blown, Reply
from bench.storm_model import Storm

Row = dict[str, object]


@dataclass(frozen=True)
class Outcome:
    """One storm over one contender.

    :ivar runs: of the backend.
    :ivar validations: that Keystone was asked for.
    :ivar server: seconds of CPU that the server's processes took; the database's are not among them.
    """

    storm: Storm
    workers: int
    blown: Blown
    runs: int
    validations: int
    server: float

    @property
    def replies(self) -> Sequence[Reply]:
        """What became of each call."""
        return self.blown.replies

    @property
    def outcomes(self) -> Counter[str]:
        """How many calls ended how."""
        return Counter(reply.outcome for reply in self.replies)

    @property
    def missed(self) -> int:
        """How many calls Nova would have given up."""
        return sum(reply.seconds >= PATIENCE for reply in self.replies)

    @cached_property
    def answers(self) -> dict[str, Counter[bytes]]:
        """The answers that each instance was given."""
        found: dict[str, Counter[bytes]] = defaultdict(Counter)
        for reply in self.replies:
            if reply.outcome == "200":
                found[reply.instance][reply.body] += 1
        return found

    @property
    def whole(self) -> int:
        """How many instances got one answer, the same at each of their calls."""
        return sum([self.storm.calls] == list(given.values()) for given in self.answers.values())

    @property
    def most_answers(self) -> int:
        """How many different answers one instance was given, at most."""
        return max(map(len, self.answers.values()), default=0)

    def within(self, share: float, first: bool | None = None) -> float:
        """Give the milliseconds within which this share of the calls was over.

        :param first: only the first calls of the instances, or only the later ones.
        """
        seconds = sorted(reply.seconds for reply in self.replies if first in (None, reply.number == 0))
        return round(1000 * seconds[max(0, math.ceil(share * len(seconds)) - 1)], 1)


def measures(outcome: Outcome) -> Row:
    """Name what one storm shows."""
    calls = len(outcome.replies)
    others = {name: count for name, count in outcome.outcomes.items() if name != "200"}
    return {
        "calls answered with 200": outcome.outcomes["200"],
        "other outcomes": ", ".join(f"{count} {name}" for name, count in sorted(others.items())) or "none",
        "runs of the backend": outcome.runs,
        "instances with one answer at all their calls": outcome.whole,
        "different answers for one instance, at most": outcome.most_answers,
        "Keystone validations": outcome.validations,
        "calls past Nova's 5 s": outcome.missed,
        "p50, ms": outcome.within(0.5),
        "p90, ms": outcome.within(0.9),
        "p99, ms": outcome.within(0.99),
        "longest, ms": outcome.within(1),
        "p50 of first calls, ms": outcome.within(0.5, first=True),
        "p50 of later calls, ms": outcome.within(0.5, first=False) if outcome.storm.calls > 1 else 0.0,
        "seconds of the storm": round(outcome.blown.seconds, 1),
        "calls a second": round(calls / outcome.blown.seconds, 1),
        "server's CPU, ms a call": round(1000 * outcome.server / calls, 2),
        "driver's CPU, share of one core": round(outcome.blown.driver / outcome.blown.seconds, 2),
    }


def side_by_side(outcomes: dict[str, Outcome]) -> list[Row]:
    """Give a row for each measure, with a column for each contender, and the ratio where there are two numbers."""
    columns = {name: measures(outcome) for name, outcome in outcomes.items()}
    rows: list[Row] = []
    for measure in next(iter(columns.values())):
        values = {name: column[measure] for name, column in columns.items()}
        rows.append({"what": measure, **values, "ratio": ratio(list(values.values()))})
    return rows


def ratio(values: Sequence[object]) -> str:
    """Say how often the first number goes into the second."""
    match values:
        case [float() | int() as first, float() | int() as second] if first > 0:
            return f"{second / first:.2f}"
    return ""


def figures(full: Outcome, single: Outcome) -> list[Row]:
    """Say what was to be reached, and whether it was.

    :param full: over vendorsrv with all its workers.
    :param single: over vendorsrv with one.
    """
    storm, alone = full.storm, single.storm.hosts
    here = f"{storm.instances:,} instances, {storm.calls} calls each, {storm.hosts} hosts, {full.workers} workers: "
    most = storm.hosts * full.workers
    return [
        {"what": here + "runs of the handler", "measured": full.runs, **exactly(full.runs, storm.instances)},
        {"what": here + "instances with one answer", "measured": full.whole, **exactly(full.whole, storm.instances)},
        {"what": here + "calls past Nova's five seconds", "measured": full.missed, **exactly(full.missed, 0)},
        {"what": here + "Keystone validations", "measured": full.validations, **at_most(full.validations, most)},
        {
            "what": f"{alone} hosts, {single.workers} worker: Keystone validations",
            "measured": single.validations,
            **exactly(single.validations, alone),
        },
    ]
