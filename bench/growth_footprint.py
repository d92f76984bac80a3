"""Memory and CPU time of a server's processes, as the kernel counts them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's memory in MB (10**6 bytes).

    :ivar resident: all of it (RSS).
    :ivar share: with shared pages divided among the processes (PSS); these can be added up.
    """

    resident: float
    share: float


def memory_of(pid: int) -> Memory:
    """Read a process's memory from ``/proc/PID/smaps_rollup``."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(*(round(kilobytes[name] * 1024 / 1e6, 1) for name in ("Rss", "Pss")))


def seconds_of(pid: int) -> float:
    """Return the CPU seconds of a process and of its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's running children: the workers of a supervisor."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seconds_of_all(pid: int) -> float:
    """Return the CPU seconds of a supervisor and its workers."""
    return seconds_of(pid) + sum(map(seconds_of, children_of(pid)))


def share_of_all(pid: int) -> float:
    """Return the memory (PSS) of a supervisor and its workers together, in MB."""
    return round(sum(memory_of(each).share for each in (pid, *children_of(pid))), 1)
