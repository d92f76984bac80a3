"""Measure the times of calls, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Cost:
    """The time of one call in microseconds: the median of the rounds, and their range."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, rounds: list[float]) -> Cost:
        """Summarize rounds, each in seconds a call."""
        return cls(*(round(each * 1e6, 2) for each in (statistics.median(rounds), min(rounds), max(rounds))))


async def alternate(contenders: Mapping[str, Call], calls: int, rounds: int = 9) -> dict[str, Cost]:
    """Measure contenders in turn, round after round, so that other work on the machine affects all of them alike.

    :param calls: how many each contender makes in a round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        await call()
    for _ in range(rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            for _ in range(calls):
                await call()
            seconds[name].append((time.perf_counter() - started) / calls)
    return {name: Cost.of(each) for name, each in seconds.items()}
