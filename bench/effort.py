"""How long benchmarks measure: in full, or for a few seconds to check that they work."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Effort:
    """The amount of measuring.

    :ivar rounds: in each round all contenders are measured, one after the other.
    :ivar seconds: of load for each contender in a round; wrk takes whole seconds.
    :ivar connections: concurrent ones, each with one request at a time.
    :ivar requests: sent by benchmarks that count instead of timing.
    :ivar many: instances with a stored answer, in the benchmarks of growth.
    """

    rounds: int
    seconds: int
    connections: int
    requests: int
    many: int


FULL: Final = Effort(rounds=5, seconds=3, connections=16, requests=1_000, many=1_000_000)
QUICK: Final = Effort(rounds=2, seconds=1, connections=16, requests=200, many=20_000)

#: The effort of this run; ``--quick`` sets it.
EFFORT: Final[ContextVar[Effort]] = ContextVar("effort", default=FULL)
