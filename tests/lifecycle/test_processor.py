"""How the outbox is worked off: tried again, given up, and by several processes at once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.outboxes import LONG, age, rows_of, with_outbox
from tests.support.pin_stores import KINDS, database_url, make_table, new_instance
from tests.support.serving import write_config
from vendorsrv import ServiceUnavailable, Settings
from vendorsrv.cache.answers import MemoryCache
from vendorsrv.handlers.registry import Registry
from vendorsrv.lifecycle.outbox import IDLE, Outbox
from vendorsrv.lifecycle.processor import Processor, Worker, names_of
from vendorsrv.lifecycle.table import Entry
from vendorsrv.lifecycle.work import CachedAnswers
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.telemetry.metrics import Metrics


class Stub:
    """Work of the handler mail."""

    name, lease, at_once, again = "mail", LONG, 4, LONG

    def __init__(self, do: Callable[[Entry], Coroutine[Any, Any, bool]]) -> None:
        self.do = do


def worker_of(outbox: Outbox, do: Callable[[Entry], Coroutine[Any, Any, bool]], give_up_after: float = LONG) -> Worker:
    """Return a worker that does this."""
    return Worker(outbox, Stub(do), give_up_after, Metrics())


async def fail(_: Entry) -> bool:
    """Be of no use."""
    raise ServiceUnavailable("the directory is down")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the tables."""
    with database_url(request.param, tmp_path) as url:
        make_table(url)
        yield url


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A SQLite database with the tables."""
    make_table(url := f"sqlite:///{tmp_path}/pins.db")
    return url


def test_several_processes_do_each_thing_once(url: str) -> None:
    """Two workers that work off the same outbox call the handler once for each instance."""
    called: Counter[str] = Counter()

    async def do(entry: Entry) -> bool:
        called[entry.instance_id] += 1
        return True

    async def work(outbox: Outbox) -> None:
        instances = {new_instance() for _ in range(20)}
        for each in instances:
            await outbox.add(each)
        workers = [worker_of(outbox, do) for _ in range(2)]
        while sum(called.values()) < 20:
            await asyncio.gather(*(each.work_off() for each in workers))
        assert dict.fromkeys(instances, 1) == called

    with_outbox(url, work)


def test_pauses_grow(file: str, caplog: pytest.LogCaptureFixture) -> None:
    """The pause after a failed try is twice as long as the one before, ten minutes at most."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        worker = worker_of(outbox, fail, 9 * LONG)
        for _ in range(12):
            assert Counter(failed=1) == await worker.work_off()
            await age(outbox.database, 600)

    with_outbox(file, work)
    pauses = [record.getMessage().rpartition("next call in ")[2] for record in caplog.records]
    assert ["1 s", "2 s", "4 s", "8 s", "16 s", "32 s", "64 s", "128 s", "256 s", "512 s", "600 s", "600 s"] == pauses


def test_what_keeps_failing_is_given_up(file: str, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that fails for too long is given up, with an error in the log and its reason in the database."""
    instance = new_instance()

    async def work(outbox: Outbox) -> None:
        await outbox.add(instance)
        worker = worker_of(outbox, fail)
        assert Counter(failed=1) == await worker.work_off()
        await age(outbox.database, LONG)
        assert Counter(given_up=1) == await worker.work_off()
        assert Counter() == await worker.work_off()
        assert not await outbox.is_busy(instance)
        assert [None, "the directory is down"] == [each for (each,) in await rows_of(outbox.database, "last_error")]

    with_outbox(file, work, ("mail",))
    line = f"handler mail: deleted of instance {instance} is given up after 2 tries (the directory is down)"
    assert [(logging.ERROR, line)] == [
        (record.levelno, record.getMessage()) for record in caplog.records if record.levelno == logging.ERROR
    ]


def test_work_that_cannot_begin_is_tried_later(file: str) -> None:
    """Work that cannot begin yet is due after its own pause, without an error."""

    async def wait(_: Entry) -> bool:
        return False

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        worker = worker_of(outbox, wait)
        assert Counter(later=1) == await worker.work_off()
        assert [] == await outbox.due("mail", 9)
        await age(outbox.database, LONG)
        assert 1 == len(await outbox.due("mail", 9))

    with_outbox(file, work)


def test_a_claim_that_another_process_has_is_left_alone(file: str) -> None:
    """What another process has claimed since it was listed is not done."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(new_instance())
        (entry,) = await outbox.due("mail", 9)
        await outbox.claim(entry, "another", LONG)
        assert "later" == await worker_of(outbox, fail).attempt(entry)

    with_outbox(file, work)


def test_a_database_that_does_not_answer_ends_no_worker(file: str) -> None:
    """While the database is down nothing is tried; afterwards the work goes on."""

    async def done(_: Entry) -> bool:
        return True

    async def work(outbox: Outbox) -> None:
        worker = worker_of(outbox, done)
        running = asyncio.create_task(worker.run())
        await execute(outbox, "ALTER TABLE deletions RENAME TO away")
        assert Counter() == await worker.work_off()
        assert await worker.attempt(Entry(new_instance(), "mail", None, 0.0, 0.0, 0)) is None
        await execute(outbox, "ALTER TABLE away RENAME TO deletions")
        await outbox.add(instance := new_instance())
        worker.awake.set()
        await until(lambda: is_forgotten(outbox, instance, "mail"))
        worker.stop()
        await running

    with_outbox(file, work, ("mail",))


async def execute(outbox: Outbox, statement: str) -> None:
    """Execute a statement."""
    async with outbox.database.engine.connect() as connection:
        await connection.execute(text(statement))


def processor_of(outbox: Outbox, folder: Path, handlers: str) -> Processor:
    """Return a processor for the handlers of a configuration."""
    registry = Registry(Settings.from_file(write_config(folder, handlers=handlers)))
    outbox.handlers = names_of(registry.handlers.values())
    pins = Pins(PinStore(outbox.database), PinCipher([]), LONG)
    limits = {"concurrency": 16, "give_up_after": LONG, "remember_for": LONG}
    cached = CachedAnswers(MemoryCache(0), ())
    return Processor(outbox, pins, registry.handlers.values(), cached, **limits, metrics=Metrics())  # type: ignore[arg-type]


def test_a_processor_does_all_and_tidies_up(file: str, tmp_path: Path) -> None:
    """A processor that runs works off what is added, and forgets what is over when it starts."""

    async def work(outbox: Outbox) -> None:
        await outbox.add(old := new_instance())
        processor = processor_of(outbox, tmp_path, "tests.support.handlers.leaving:Leaving")
        await processor.work_off()
        await age(outbox.database, IDLE)
        await processor.work_off()
        await age(outbox.database, LONG)
        running = asyncio.create_task(processor.run())
        await outbox.add(instance := new_instance())
        processor.wake()
        await until(lambda: is_forgotten(outbox, instance))
        assert (old,) not in await rows_of(outbox.database, "instance_id")
        processor.stop()
        await running

    with_outbox(file, work, ())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when a condition holds."""
    async with asyncio.timeout(60):
        while not await condition():
            pass


async def is_forgotten(outbox: Outbox, instance: str, handler: str = "") -> bool:
    """Whether a handler, or all, has nothing left to do for an instance."""
    return (instance, handler, None) in await rows_of(outbox.database, "instance_id", "handler", "due_at")


def test_what_is_due_for_a_handler_that_is_gone_is_given_up(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was to be done by a handler that is not enabled any more is given up after that time as well."""
    instance = new_instance()

    async def work(outbox: Outbox) -> None:
        await outbox.add(instance)
        processor = processor_of(outbox, tmp_path, "tests.support.handlers.leaving:Leaving")
        await processor.tidy()
        assert await outbox.is_busy(instance)
        await age(outbox.database, LONG)
        await asyncio.gather(processor.tidy(), processor.tidy())
        await processor.work_off()
        assert await is_forgotten(outbox, instance)

    with_outbox(file, work, ("former",))
    line = f"handler former: deleted of instance {instance} is given up: the handler is not enabled any more"
    assert [line] == [record.getMessage() for record in caplog.records]


def test_a_database_that_is_down_does_not_end_the_tidying(file: str, tmp_path: Path) -> None:
    """A processor that starts without a database runs until it is stopped."""

    async def work(outbox: Outbox) -> None:
        await execute(outbox, "ALTER TABLE deletions RENAME TO away")
        processor = processor_of(outbox, tmp_path, "tests.support.handlers.leaving:Leaving")
        running = asyncio.create_task(processor.run())
        await asyncio.sleep(0)
        processor.stop()
        await running

    with_outbox(file, work, ())
