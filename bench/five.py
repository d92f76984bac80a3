"""The latency of ``POST /`` with five handlers, relative to one handler alone."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.contenders import keystone_and_token, vendorsrv
from bench.effort import EFFORT
from bench.goals import at_most
from tests.support.peers.server import Server

#: Each waits for 200 ms.
HANDLERS: Final = ("Slow", "Second", "Third", "Fourth", "Fifth")
#: The most that ``POST /`` may take, relative to one handler.
GOAL: Final = 1.3
#: Requests of each kind in a round.
EACH: Final = 3


def milliseconds(server: Server, token: str, path: str) -> float:
    """Send one request, check its answer, and return how long it took."""
    started = time.perf_counter()
    response = server.post(path, token)
    taken = (time.perf_counter() - started) * 1000
    found = response.raise_for_status().json()
    assert found == ({name.lower(): {} for name in HANDLERS} if path == "/" else {}), found
    return taken


def report() -> list[dict[str, object]]:
    """Request one handler and all handlers in turn; return one row."""
    taken: dict[str, list[float]] = {"/slow": [], "/": []}
    with (
        TemporaryDirectory() as folder,
        keystone_and_token() as (keystone, token),
        vendorsrv(Path(folder, "five"), keystone, HANDLERS, {}) as server,
    ):
        server.post("/slow", token).raise_for_status()  # from now on the token is known
        for _ in range(EFFORT.get().rounds * EACH):
            for path, found in taken.items():
                found.append(milliseconds(server, token, path))
    return [row(taken["/slow"], taken["/"])]


def row(one: list[float], five: list[float]) -> dict[str, object]:
    """Return the row for these latencies in milliseconds."""
    ratios = [all_of_them / alone for alone, all_of_them in zip(one, five, strict=True)]
    ratio = round(statistics.median(ratios), 3)
    return {
        "what": "five handlers of 200 ms / one of them",
        "ratio": ratio,
        "spread": f"{min(ratios):.3g}-{max(ratios):.3g}",
        **at_most(ratio, GOAL),
        "milliseconds": f"{statistics.median(five):.1f} / {statistics.median(one):.1f}",
    }
