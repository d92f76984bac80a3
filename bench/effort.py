"""How much a benchmark measures: all of it, or a few seconds' worth to see that it works."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Effort:
    """What benchmarks go by.

    :ivar rounds: times that each contender is measured, in turn with the others.
    :ivar seconds: that it is driven in a round; wrk takes whole ones.
    :ivar connections: that it is driven over, each with one request at a time.
    :ivar requests: that are sent where they are counted, and not timed.
    :ivar many: instances that have an answer already, where there are to be many.
    """

    rounds: int
    seconds: int
    connections: int
    requests: int
    many: int


FULL: Final = Effort(rounds=5, seconds=3, connections=16, requests=1_000, many=1_000_000)
QUICK: Final = Effort(rounds=2, seconds=1, connections=16, requests=200, many=20_000)

#: What the running benchmark goes by; ``--quick`` sets it.
EFFORT: Final[ContextVar[Effort]] = ContextVar("effort", default=FULL)
