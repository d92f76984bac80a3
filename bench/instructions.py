"""How many instructions of the processor a request takes, by callgrind: other work hardly changes that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from bench.bare import floor
from bench.goals import NO_GOAL, at_most
from bench.hot_path import asking, server
from tests.support.processes import ROOT

#: Requests that are counted, after as many that are not.
REQUESTS: Final = 200
#: Thousands of instructions that a request may take, with CPython 3.11: what it took when this was written, and 15 %.
LIMITS: Final = {"floor": None, "trivial": 420, "cached": 270, "pinned": 500}
COLLECTED: Final = re.compile(r"Collected : (\d+)")


async def ask(name: str) -> None:
    """Make requests, and have those of the second half counted: the work of this process, which callgrind runs."""
    with TemporaryDirectory() as folder:
        async with server(Path(folder)) as (application, token):
            call = asking(floor, "/", token) if name == "floor" else asking(application, f"/{name}", token)
            for switch in ("on", "off"):
                for _ in range(REQUESTS):
                    await call()
                control = ["callgrind_control", "-i", switch, str(os.getpid())]
                subprocess.run(control, check=True, capture_output=True)  # noqa: ASYNC221 - nothing else may run


def count(name: str) -> float:
    """Count the instructions of a request.

    :returns: thousands.
    :raises subprocess.CalledProcessError: valgrind cannot run this Python.
    """
    with TemporaryDirectory() as folder:
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        done = subprocess.run(
            [*tool, sys.executable, "-m", "bench.instructions", name],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
            text=True,
        )
    return round(sum(map(int, COLLECTED.findall(done.stderr))) / REQUESTS / 1000, 1)


def report() -> list[dict[str, object]]:
    """Give a row for each kind of request, or one that says why there is none."""
    if which("callgrind_control") is None:
        return [{"what": "instructions", "reached": "not measured: no valgrind"}]
    counts = {name: count(name) for name in LIMITS}
    return [
        {
            "what": f"thousands of instructions of a request: {name}",
            "value": found,
            "in floors": round(found / counts["floor"], 1),
            **(at_most(found, limit) if (limit := LIMITS[name]) else NO_GOAL),
        }
        for name, found in counts.items()
    ]


if __name__ == "__main__":
    uvloop.run(ask(sys.argv[1]))
