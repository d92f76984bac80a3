"""The pins in the life of a server: opened, checked, purged."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy import Column

from vendorsrv.concurrency import HAS_PRIORITY, SingleFlight
from vendorsrv.database.engine import Database
from vendorsrv.database.schema import prepare
from vendorsrv.database.url import async_url
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore, translate_errors
from vendorsrv.pins.table import HAS_EXPIRED, PINS, Condition, claimed_before, pinned_before
from vendorsrv.settings import Settings
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

#: Rows that one statement deletes, and seconds between two: requests notice neither locks nor load.
BATCH: Final = 500
PAUSE: Final = 0.05
#: Seconds after which the worker of a claim is certainly dead.
ABANDONED: Final = 60.0
DAY: Final = 86_400.0
#: Seconds between two purges, on average.
PURGE_EVERY: Final = 3600.0
#: Seconds that one statement may take: a request has time for two.
STATEMENT_TIMEOUT: Final = 1.5
#: Seconds for which a successful write proves that the store can be written: anybody may ask whether it can.
WRITABLE_FOR: Final = 2.0
#: Seconds by which a claim outlasts the longest run.
MARGIN: Final = 1.0


class PinService:
    """The pins of a worker and their store.

    :param store: by default the one that ``[database]`` names.
    :raises ConfigError: ``[database]`` or ``[pins]`` is wrong.
    """

    def __init__(self, settings: Settings, store: PinStore | None = None, metrics: Metrics | None = None) -> None:
        metrics = metrics or Metrics()
        self.purged = metrics.counter("vendorsrv_pins_purged_total")
        self.store = store or PinStore(Database(async_url(settings.database), STATEMENT_TIMEOUT))
        lease = settings.request_timeout + MARGIN
        cipher = PinCipher(settings.encryption_keys, allow_plain=settings.allow_plain)
        self.pins = Pins(self.store, cipher, lease, self.check_schema, metrics)
        self.purge_after = settings.purge_after
        #: The key of the row that is written to see whether the store can be written; no handler has this name.
        self.probe = ("", secrets.token_hex(16))
        self.writable_until = 0.0
        self.single_flight: SingleFlight[None] = SingleFlight()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Check the schema, and purge in the background. A store that is unavailable now is checked later.

        :raises ConfigError: the schema is of another version.
        """
        purging = asyncio.create_task(self.purge_for_ever())
        try:
            await self.prepare()
            yield
        finally:
            purging.cancel()
            await asyncio.wait([purging])  # it has to return its connection
            await self.store.close()

    async def prepare(self) -> None:
        try:
            await translate_errors(prepare(self.store.database))
            self.pins.check = None
        except PinsUnavailable as error:
            LOG.warning("not ready yet: %s", error.message)

    async def check(self) -> None:
        """Check that the store can be used now, with priority: a busy server stays ready.

        A SQLite file has to be writable too. A shared database that is not fails on all hosts: without them all, Nova
        would get no pinned answer either.

        :raises PinsUnavailable: it does not answer, its schema is of another version, or its disk is full.
        """
        HAS_PRIORITY.set(True)
        await self.pins.get(*self.probe)
        if self.store.database.is_sqlite and time.monotonic() >= self.writable_until:
            await self.single_flight.run("write", self.write)

    async def write(self) -> None:
        await self.store.claim(*self.probe, owner="", expired=None)
        await self.store.forget([self.probe])
        self.writable_until = time.monotonic() + WRITABLE_FOR

    async def check_schema(self) -> None:
        try:
            await translate_errors(prepare(self.store.database))
        except ConfigError as error:
            LOG.error("%s", error)
            raise PinsUnavailable("the schema of the pin store is of another version") from None

    async def purge_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_EVERY * random.uniform(0.5, 1.5))  # noqa: S311 - workers apart, no secret
            with suppress(PinsUnavailable):
                self.purged.inc(await purge_where(self.store, HAS_EXPIRED, PINS.c.expires_at))
                if self.purge_after:
                    count = await purge(self.store, self.purge_after * DAY)
                    self.purged.inc(count)
                    LOG.info("deleted pins that were older than %s days: %d", self.purge_after, count)


async def purge(store: PinStore, older_than: float) -> int:
    """Delete the answers that are older than a number of seconds, and abandoned claims, in small batches.

    :returns: the number of answers.
    :raises PinsUnavailable: the store does not answer; some may have been deleted.
    """
    now = time.time()
    count = await purge_where(store, pinned_before(now - older_than))
    await purge_where(store, claimed_before(now - max(older_than, ABANDONED)))
    return count


async def purge_where(store: PinStore, condition: Condition, by: Column[float | None] = PINS.c.pinned_at) -> int:
    count = 0
    while keys := await store.find(condition, BATCH, by):
        await store.forget(keys, condition)
        count += len(keys)
        await asyncio.sleep(PAUSE)
    return count


def make_missing(settings: Settings) -> None:
    """Create the SQLite file that ``[database]`` names if it does not exist, on an event loop of its own.

    :raises ConfigError: it cannot be created.
    """
    service = PinService(settings)

    async def open_once() -> None:
        async with service.opened():
            pass

    if service.store.database.is_missing:
        asyncio.run(open_once())
