"""Processes that race for a store of pins; alone in a module, which each of them has to import."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any, Final

from tests.pin_stores import make_table, with_store
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pin_schema import prepare

SPAWN: Final = multiprocessing.get_context("spawn")
#: Seconds until every process has to be done; the machine may be busy.
PATIENCE: Final = 120.0


def race(number: int, target: Callable[..., object], *arguments: object) -> list[Any]:
    """Run a function in processes that begin at the same time.

    :param target: gets its process's number and the arguments.
    :returns: what it returned in each process, or the text of the error that an operator would have seen.
    """
    outcomes: multiprocessing.Queue[Any] = SPAWN.Queue()
    begin = SPAWN.Barrier(number)
    processes = [
        SPAWN.Process(target=run, args=(outcomes, begin, target, each, *arguments), daemon=True)
        for each in range(number)
    ]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join()
    return found


def run(outcomes: Any, begin: Any, target: Callable[..., object], *arguments: object) -> None:
    """Wait for the others, and report how it went."""
    begin.wait(PATIENCE)
    try:
        outcomes.put(target(*arguments))
    except (ConfigError, PinsUnavailable) as error:
        outcomes.put(str(error))


def start(_: int, url: str) -> str:
    """Do what a worker does when it starts."""
    with_store(url, prepare)
    with_store(url, lambda store: store.get("i", "mail"))
    return "ready"


def upgrade(_: int, url: str) -> str:
    """Do what ``vendorsrv db upgrade`` does."""
    make_table(url)
    return "upgraded"
