"""Processes that race for a store of pins; alone in a module, which each of them has to import."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support.pin_stores import make_table, with_database, with_store
from vendorsrv.database.schema import prepare
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore

#: Processes that have imported this module once for all.
FORKSERVER: Final = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload([__name__])
#: Seconds until every process has to be done; the machine may be busy.
PATIENCE: Final = 120.0
#: Seconds that a statement and a request may take, and that a claim holds: more than in a server, since the machine
#: may be busy with other tests.
STATEMENT, BUDGET, LEASE = 10.0, 40.0, 60.0
#: Config drives that one process builds at the same time.
BUILDS: Final = 8


def race(number: int, target: Callable[..., object], *arguments: object) -> list[Any]:
    """Run a function in processes that begin at the same time.

    :param target: gets its process's number and the arguments.
    :returns: what it returned in each process, or the text of the error that an operator would have seen.
    """
    outcomes: multiprocessing.Queue[Any] = FORKSERVER.Queue()
    begin = FORKSERVER.Barrier(number)
    processes = [
        FORKSERVER.Process(target=run, args=(outcomes, begin, target, each, *arguments), daemon=True)
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
    with_database(url, prepare)
    with_store(url, lambda store: store.get("i", "mail"))
    return "ready"


def upgrade(_: int, url: str) -> str:
    """Do what ``vendorsrv db upgrade`` does."""
    make_table(url)
    return "upgraded"


def boot(number: int, url: str, instances: Sequence[str], runs: str) -> list[set[bytes]]:
    """Ask for each instance's answer with six calls at once, as Nova does for a config drive.

    :param runs: a file that gets a line for each run of the handler.
    :returns: the answers for each instance.
    """

    async def work(store: PinStore) -> list[set[bytes]]:
        pins = Pins(store, PinCipher([]), LEASE)
        builds = asyncio.Semaphore(BUILDS)

        async def ask(instance_id: str) -> bytes:
            async def make() -> bytes:
                file.write(f"{instance_id}\n")
                await asyncio.sleep(0.01)
                return f'{{"made by":{number},"token":"{secrets.token_hex()}"}}'.encode()

            return await pins.get_or_create(instance_id, "mail", make, time.monotonic() + BUDGET)

        async def build(instance_id: str) -> set[bytes]:
            async with builds:
                return set(await asyncio.gather(*(ask(instance_id) for _ in range(6))))

        return await asyncio.gather(*map(build, instances))

    with open(runs, "a", buffering=1) as file:
        return with_store(url, work, STATEMENT)
