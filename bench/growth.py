"""What a server takes and how it grows: memory, starts, imports, one more handler, one more worker, a million pins."""

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
from bench.growth_memory import grown
from bench.growth_start import Started, started, starts
from bench.keeping import fill
from bench.wrk import drive
from tests.support.keystone import Keystone
from tests.support.pin_stores import make_table, with_store

#: MB of a worker, percent that a second half million of requests may add, and seconds until it is ready.
MEMORY_GOAL, GROWTH_GOAL, START_GOAL = 120, 1, 2.5
TRIVIAL: Final = "bench.handlers:Trivial"
ELEVEN: Final = ", ".join([TRIVIAL, *(f"bench.growth_handlers:{name}" for name in MORE)])
#: Workers that are added to one.
FURTHER: Final = 3

Rows = list[dict[str, object]]


def report() -> Rows:
    """Give a row for each figure; those of a million pins' speed are in the benchmark ``keeping``."""
    effort = EFFORT.get()
    with TemporaryDirectory() as name, keystone_and_token() as (keystone, token):
        folder = Path(name)
        return [
            *of_starts(folder, keystone, effort.rounds),
            *of_handlers(folder, keystone, token, effort.rounds),
            *of_pins(folder, keystone, token, effort.many),
            *of_requests(keystone, token, effort.many),
            *growth_imports.report(effort.rounds),
        ]


def row(what: str, value: float, unit: str, **more: object) -> dict[str, object]:
    """Give a row without a goal, unless it is among the rest."""
    return {"what": what, "value": value, "unit": unit, "goal": "", "reached": "", **more}


def of_starts(folder: Path, keystone: Keystone, rounds: int) -> Rows:
    """Start the mail server of the examples, with one worker and with more, and a server that keeps nothing."""
    one = starts(folder / "one", keystone, rounds)
    many = starts(folder / "many", keystone, rounds, vendorsrv={"workers": 1 + FURTHER})
    bare = starts(folder / "bare", keystone, rounds, vendorsrv={"handlers": TRIVIAL})
    return [
        row(
            "start until ready", one.seconds, "s", **at_most(one.seconds, START_GOAL), more=f"{one.processor} s of CPU"
        ),
        row("start until ready, nothing pinned", bare.seconds, "s", more=f"{bare.processor} s of CPU"),
        row(f"start until ready, {1 + FURTHER} workers", many.seconds, "s", more=f"{many.processor} s of CPU"),
        row("one more worker: CPU at the start", round((many.processor - one.processor) / FURTHER, 3), "s"),
        row("one more worker: memory", round((many.everything - one.everything) / FURTHER, 1), "MB"),
        row("a worker at rest", one.worker.resident, "MB", more=f"{one.worker.share:.1f} MB are its share"),
        row(
            "a worker at rest, nothing pinned",
            bare.worker.resident,
            "MB",
            more=f"{bare.worker.share:.1f} MB are its share",
        ),
        row("supervisor and one worker", one.everything, "MB"),
    ]


def of_handlers(folder: Path, keystone: Keystone, token: str, rounds: int) -> Rows:
    """Compare eleven handlers with one: the same is asked of the first of them."""
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
    """Give how many requests a second the first handler answers."""
    run = drive(f"{server.url}/trivial", token, bodies(200), seconds=EFFORT.get().seconds, connections=16)
    assert not run.errors, run.errors
    return run.rate


def of_pins(folder: Path, keystone: Keystone, token: str, many: int) -> Rows:
    """Give what many pins take: of a worker that reads some, and of the disk."""
    path = folder / f"{many}.db"
    make_table(f"sqlite:///{path}")
    with_store(f"sqlite:///{path}", lambda store: fill(store, many), 600)
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


def of_requests(keystone: Keystone, token: str, many: int) -> Rows:
    """Give what a million requests leave."""
    found = grown(keystone, token, many)
    whole, at_rest = found.whole.resident, found.rest.resident
    more = f"{found.whole.share} MB are its share; {at_rest} MB before, {found.half.resident} MB after half of them"
    return [
        row(f"a worker after {found.requests:,} requests", whole, "MB", **at_most(whole, MEMORY_GOAL), more=more),
        row("grown over the second half", found.growth, "%", **at_most(found.growth, GROWTH_GOAL)),
    ]
