"""Processes that race for a store of pins. Each of them imports this module."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support import real_peers as peers
from tests.support.pin_stores import body_of, make_table, with_database, with_store
from vendorsrv.database.schema import prepare
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore

#: A server of processes that has imported this module.
FORKSERVER: Final = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload([__name__])
#: Seconds until every process has to end; the machine may be busy.
PATIENCE: Final = 120.0
#: Seconds for a statement, a request and a claim: more than in a server, because other tests may keep the machine busy.
STATEMENT, BUDGET, LEASE = 10.0, 40.0, 60.0
#: Config drives that a process builds concurrently.
BUILDS: Final = 8


def race(number: int, target: Callable[..., object], *arguments: object) -> list[Any]:
    """Run a function in processes that start at the same time.

    :param target: takes the process's number and the arguments.
    :returns: its result in each process, or the text of its error.
    """
    peers.skip_if_unit()
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
    """Wait for the others, run the function, and send its result."""
    begin.wait(PATIENCE)
    try:
        outcomes.put(target(*arguments))
    except (ConfigError, PinsUnavailable) as error:
        outcomes.put(str(error))


def start(_: int, url: str) -> str:
    """Prepare the database as a worker does at its start."""
    with_database(url, prepare)
    with_store(url, lambda store: store.get("i", "mail"))
    return "ready"


def upgrade(_: int, url: str) -> str:
    """Upgrade the database as ``vendorsrv db upgrade`` does."""
    make_table(url)
    return "upgraded"


def boot(number: int, url: str, instances: Sequence[str], runs: str) -> list[set[bytes]]:
    """Request each instance's answer six times concurrently, as Nova does for a config drive.

    :param runs: a file to which each run of the handler adds a line.
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

            return await body_of(pins, (instance_id, "mail"), make, BUDGET)

        async def build(instance_id: str) -> set[bytes]:
            async with builds:
                return set(await asyncio.gather(*(ask(instance_id) for _ in range(6))))

        return await asyncio.gather(*map(build, instances))

    with open(runs, "a", buffering=1) as file:
        return with_store(url, work, STATEMENT)
