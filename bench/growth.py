"""What a server needs, and how that grows: starts, memory, imports, handlers, workers, requests and pins."""

from __future__ import annotations

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import growth_imports
from bench.contenders import bodies, keystone_and_token
from bench.effort import EFFORT
from bench.goals import at_most
from bench.growth_footprint import memory_of
from bench.growth_handlers import MORE
from bench.growth_memory import measure_growth
from bench.growth_start import Started, started, starts
from bench.keeping import fill_pins
from bench.wrk import drive
from tests.support.keystone import Keystone
from tests.support.pin_stores import make_table, with_store

#: MB of a worker, percent that it may grow over the second half of the requests, and seconds until it is ready.
MEMORY_GOAL, GROWTH_GOAL, START_GOAL = 120, 1, 2.5
TRIVIAL: Final = "bench.handlers:Trivial"
ELEVEN: Final = ", ".join([TRIVIAL, *(f"bench.growth_handlers:{name}" for name in MORE)])
#: Workers in addition to the first.
FURTHER: Final = 3

Rows = list[dict[str, object]]


def report() -> Rows:
    """Return a row for each figure; the speed with a million pins is in the benchmark ``keeping``."""
    effort = EFFORT.get()
    with TemporaryDirectory() as name, keystone_and_token() as (keystone, token):
        folder = Path(name)
        return [
            *start_rows(folder, keystone, effort.rounds),
            *handler_rows(folder, keystone, token, effort.rounds),
            *pin_rows(folder, keystone, token, effort.many),
            *request_rows(keystone, token, effort.many),
            *growth_imports.report(effort.rounds),
        ]


def row(what: str, value: float, unit: str, **more: object) -> dict[str, object]:
    """Return a row; without a goal unless ``more`` has one."""
    return {"what": what, "value": value, "unit": unit, "goal": "", "reached": "", **more}


def start_rows(folder: Path, keystone: Keystone, rounds: int) -> Rows:
    """Start the example mail server with one worker and with four, and a server without pins."""
    one = starts(folder / "one", keystone, rounds)
    many = starts(folder / "many", keystone, rounds, vendorsrv={"workers": 1 + FURTHER})
    unpinned = starts(folder / "unpinned", keystone, rounds, vendorsrv={"handlers": TRIVIAL})
    return [
        row(
            "start until ready", one.seconds, "s", **at_most(one.seconds, START_GOAL), more=f"{one.processor} s of CPU"
        ),
        row("start until ready, nothing pinned", unpinned.seconds, "s", more=f"{unpinned.processor} s of CPU"),
        row(f"start until ready, {1 + FURTHER} workers", many.seconds, "s", more=f"{many.processor} s of CPU"),
        row("one more worker: CPU at the start", round((many.processor - one.processor) / FURTHER, 3), "s"),
        row("one more worker: memory", round((many.everything - one.everything) / FURTHER, 1), "MB"),
        row("a worker at rest", one.worker.resident, "MB", more=f"{one.worker.share:.1f} MB are its share"),
        row(
            "a worker at rest, nothing pinned",
            unpinned.worker.resident,
            "MB",
            more=f"{unpinned.worker.share:.1f} MB are its share",
        ),
        row("supervisor and one worker", one.everything, "MB"),
    ]


def handler_rows(folder: Path, keystone: Keystone, token: str, rounds: int) -> Rows:
    """Compare a server of eleven handlers with one of one; requests go to the first handler."""
    with (
        started(folder / "few", keystone, vendorsrv={"handlers": TRIVIAL}) as few,
        started(folder / "eleven", keystone, vendorsrv={"handlers": ELEVEN}) as eleven,
    ):
        memory = (eleven.start.worker.resident - few.start.worker.resident) / len(MORE)
        ratio = statistics.median(rate(eleven, token) / rate(few, token) for _ in range(rounds))
    few_starts, eleven_starts = (
        starts(folder / "start", keystone, rounds, vendorsrv={"handlers": names}) for names in (TRIVIAL, ELEVEN)
    )
    added = (eleven_starts.processor - few_starts.processor) / len(MORE) * 1000
    return [
        row("one more handler: memory of a worker", round(memory, 2), "MB"),
        row("one more handler: CPU at the start", round(added, 1), "ms"),
        row("ten more handlers: requests for the first", round(ratio, 3), "of the rate with it alone"),
    ]


def rate(server: Started, token: str) -> float:
    """Return the first handler's requests a second."""
    run = drive(f"{server.url}/trivial", token, bodies(200), seconds=EFFORT.get().seconds, connections=16)
    assert not run.errors, run.errors
    return run.rate


def pin_rows(folder: Path, keystone: Keystone, token: str, many: int) -> Rows:
    """Return the memory of a worker that reads some of many pins, and the size of the file."""
    path = folder / f"{many}.db"
    make_table(f"sqlite:///{path}")
    with_store(f"sqlite:///{path}", lambda store: fill_pins(store, many), 600)
    size = sum(each.stat().st_size for each in folder.glob(f"{path.name}*"))
    options = {"vendorsrv": {"handlers": "bench.handlers:Pinned"}}
    found = []
    for place, url in enumerate((f"sqlite:///{folder}/few.db", f"sqlite:///{path}")):
        with started(folder / f"pins{place}", keystone, database={"connection": url}, **options) as server:
            drive(f"{server.url}/pinned", token, bodies(200), seconds=EFFORT.get().seconds, connections=16)
            found.append(memory_of(server.worker).resident)
    return [
        row(f"{many:,} pins: memory of a worker", round(found[1] - found[0], 1), "MB"),
        row(f"{many:,} pins: SQLite's file", round(size / many), "bytes a pin"),
    ]


def request_rows(keystone: Keystone, token: str, many: int) -> Rows:
    """Return a worker's memory after a million requests."""
    found = measure_growth(keystone, token, many)
    whole, at_rest = found.at_end.resident, found.at_rest.resident
    more = f"{found.at_end.share} MB are its share; {at_rest} MB before, {found.halfway.resident} MB after half of them"
    return [
        row(f"a worker after {found.requests:,} requests", whole, "MB", **at_most(whole, MEMORY_GOAL), more=more),
        row("grown over the second half", found.growth, "%", **at_most(found.growth, GROWTH_GOAL)),
    ]
