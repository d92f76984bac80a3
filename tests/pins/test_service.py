"""The pins in the life of a server: checked at the start or later, and purged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from tests.support.pin_stores import KINDS, database_url, execute, make_table, new_instance, with_store
from tests.support.scraping import samples
from tests.support.serving import write_config
from vendorsrv import ConfigError, Settings
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.service import PinService, make_missing, purge
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import PINS
from vendorsrv.telemetry.exposition import expose
from vendorsrv.telemetry.metrics import Metrics

OLDER = "UPDATE vendorsrv_version SET version_num = '0000'"
DAY = 86_400.0


class MovableLoop(asyncio.SelectorEventLoop):
    """An event loop whose time the test advances."""

    moved = 0.0

    def time(self) -> float:
        """Return the loop's time."""
        return super().time() + self.moved


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/state/pins.db"


@pytest.fixture(scope="module", params=KINDS)
def full_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with 10,000 answers and a claim of a dead worker."""
    with database_url(request.param, tmp_path_factory.mktemp("pins")) as created:
        make_table(created)
        with_store(created, fill)
        yield created


async def fill(store: PinStore) -> None:
    """Pin 10,000 answers, each a day older than the one before."""
    now = time.time()
    rows = [
        {"instance_id": new_instance(), "handler": "mail", "answer": b"0{}", "claimed_at": at, "pinned_at": at}
        for at in (now - number * DAY for number in range(10_000))
    ]
    dead = [{"instance_id": new_instance(), "handler": "mail", "owner": "x", "claimed_at": now - 100 * DAY}]
    async with store.database.engine.connect() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")  # one transaction instead of 10,000
        await connection.execute(insert(PINS), rows)
        await connection.execute(insert(PINS), dead)
        await connection.commit()


async def number_of_rows(store: PinStore) -> int:
    """Return the number of rows."""
    async with store.database.engine.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(PINS))).scalar_one()


def service_of(folder: Path, url: str, metrics: Metrics | None = None, **options: object) -> PinService:
    """Return the pin service of a server with this store."""
    lines = "\n".join(f"{name} = {value}" for name, value in options.items())
    sections = f"[database]\nconnection = {url}\n[pins]\n{lines}\n"
    return PinService(Settings.from_file(write_config(folder, sections=sections)), metrics=metrics)


def in_service(service: PinService, work: Callable[[], Awaitable[None]]) -> MovableLoop:
    """Do some work while the service is open."""
    loop = MovableLoop()

    async def run() -> None:
        async with service.opened():
            await work()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    return loop


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, for at most a minute."""
    end = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def test_the_first_start_creates_the_file_and_its_table(tmp_path: Path, url: str) -> None:
    """A server whose SQLite file does not exist creates it and is ready."""
    service = service_of(tmp_path, url)
    in_service(service, service.check)
    assert 0 == with_store(url, number_of_rows)


def test_before_a_start_only_a_missing_file_is_created(tmp_path: Path, url: str) -> None:
    """A SQLite file that does not exist is created for the workers, and left to them when it does."""
    settings = Settings.from_file(write_config(tmp_path, sections=f"[database]\nconnection = {url}\n"))
    make_missing(settings)
    assert 0 == with_store(url, number_of_rows)
    with_store(url, lambda store: execute(store.database, OLDER))
    make_missing(settings)
    assert [("0000",)] == with_store(
        url, lambda store: execute(store.database, "SELECT version_num FROM vendorsrv_version")
    )


def test_a_store_that_is_unavailable_at_the_start_is_checked_before_its_first_use(tmp_path: Path, url: str) -> None:
    """A server starts without its store, and reads no pin until it has found the schema right."""

    async def read() -> None:
        assert await service.pins.get("i", "mail") is None

    async def work() -> None:
        for use in (service.check, read):
            with pytest.raises(PinsUnavailable, match=r"^the pin store does not answer \(OperationalError\)$"):
                await use()
        path.rmdir()
        back.rename(path)
        for use in (service.check, read):
            with pytest.raises(PinsUnavailable, match=r"^the schema of the pin store is of another version$"):
                await use()
        await execute(service.store.database, "UPDATE vendorsrv_version SET version_num = '0001'")
        await read()
        await service.check()
        await read()

    path, back = tmp_path / "state" / "pins.db", tmp_path / "back.db"
    path.mkdir(parents=True)  # which no database can be read from
    make_table(f"sqlite:///{back}")
    with_store(f"sqlite:///{back}", lambda store: execute(store.database, OLDER))
    service = service_of(tmp_path, url)
    in_service(service, work)


def test_the_check_of_readiness_does_not_queue_behind_requests(tmp_path: Path, url: str) -> None:
    """With all connections busy, the check of readiness gets the next free one, before the requests that wait."""

    async def work() -> None:
        may_end = asyncio.Semaphore(0)
        loads = [asyncio.create_task(service.store.database.run(lambda _: may_end.acquire())) for _ in range(12)]
        await asyncio.sleep(0)
        checking = asyncio.create_task(service.check())
        await asyncio.sleep(0)
        may_end.release()
        await checking
        assert 1 == sum(load.done() for load in loads)
        for _ in loads:
            may_end.release()
        await asyncio.gather(*loads)

    service = service_of(tmp_path, url)
    in_service(service, work)


def test_a_server_with_an_older_schema_does_not_start(tmp_path: Path, url: str) -> None:
    """A server refuses to start on an older schema, with the command that upgrades it."""
    make_table(url)
    with_store(url, lambda store: execute(store.database, OLDER))
    service = service_of(tmp_path, url)
    with pytest.raises(ConfigError, match=r"older version of vendorsrv; run: vendorsrv db upgrade --config-file FILE$"):
        in_service(service, service.check)


def test_old_answers_are_purged_every_hour(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Answers older than purge_after are deleted about every hour, also after a purge that failed, and are counted."""

    async def has_failed() -> bool:
        return "the database does not answer" in caplog.text

    async def has_deleted(times: int) -> bool:
        return times == caplog.text.count("deleted pins that were older than 1 days: 1")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MovableLoop)
        for times, fails in ((1, False), (2, True)):
            await service.store.add(new_instance(), "mail", b"0{}", time.time() - 2 * DAY)
            if fails:
                await execute(service.store.database, "ALTER TABLE pins RENAME TO gone")
                loop.moved += 7200
                await until(has_failed)
                await execute(service.store.database, "ALTER TABLE gone RENAME TO pins")
            loop.moved += 7200
            await until(partial(has_deleted, times))
        assert 0 == await number_of_rows(service.store)

    caplog.set_level(logging.INFO, "vendorsrv")
    metrics = Metrics()
    service = service_of(tmp_path, url, metrics, purge_after=1)
    in_service(service, work)
    assert 2 == samples(expose(metrics.counts, "")[0].decode())["vendorsrv_pins_purged_total"]


def test_what_has_expired_is_purged_every_hour_without_purge_after(tmp_path: Path, url: str) -> None:
    """Expired pins are deleted about every hour and counted; others stay."""

    async def one_is_left() -> bool:
        return 1 == await number_of_rows(service.store)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MovableLoop)
        for expires_at in (1.0, 2.0, 4e9):
            await service.store.add(new_instance(), "mail", b"0{}", 1.0, expires_at=expires_at)
        loop.moved += 7200
        await until(one_is_left)
        await until(counted)

    async def counted() -> bool:
        return 2 == samples(expose(metrics.counts, "")[0].decode()).get("vendorsrv_pins_purged_total")

    metrics = Metrics()
    service = service_of(tmp_path, url, metrics)
    in_service(service, work)


def test_a_purge_deletes_exactly_the_old_answers_without_blocking_others(full_url: str) -> None:
    """A purge deletes old answers and abandoned claims only, in batches between which others read and write."""

    async def work(store: PinStore) -> tuple[int, int, float]:
        purging = asyncio.create_task(purge(store, 99.5 * DAY))
        started, longest = time.monotonic(), 0.0
        while not purging.done():
            begun = time.monotonic()
            await store.claim(instance_id, "mail", "me", None)
            await store.release(instance_id, "mail", "me")
            longest = max(longest, time.monotonic() - begun)
            await asyncio.sleep(0.005)
        share = longest / (time.monotonic() - started)
        return await purging, await number_of_rows(store), share

    instance_id = new_instance()
    deleted, left, share_of_the_longest_wait = with_store(full_url, work)
    assert (9_900, 100) == (deleted, left)
    assert share_of_the_longest_wait < 0.5
