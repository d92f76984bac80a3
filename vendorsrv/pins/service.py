"""The pin store as the server uses it: opened, checked, swept."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from vendorsrv.concurrency import HAS_PRIORITY
from vendorsrv.database.schema import is_missing, prepare, sqlite_path
from vendorsrv.database.url import async_url
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Condition, claimed_before, pinned_before
from vendorsrv.settings import Settings
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

#: Rows that one statement deletes, and seconds between two: neither locks nor load are felt.
BATCH: Final = 500
PAUSE: Final = 0.05
#: Seconds after which a claim is surely nobody's any more.
ABANDONED: Final = 60.0
DAY: Final = 86_400.0
#: Seconds between two sweeps.
SWEEP_EVERY: Final = 3600.0
#: Seconds that one statement may take: two of them have to fit into a request.
STATEMENT_TIMEOUT: Final = 1.5
#: Seconds by which a claim outlives the longest run.
MARGIN: Final = 1.0


class PinService:
    """The pins of a worker, with the life of their store.

    :param store: of the pins; by default the one that ``[database]`` names.
    :raises ConfigError: ``[database]`` or ``[pins]`` is wrong.
    """

    def __init__(self, settings: Settings, store: PinStore | None = None, metrics: Metrics | None = None) -> None:
        metrics = metrics or Metrics()
        self.purged = metrics.counter("vendorsrv_pins_purged_total")
        self.store = store or PinStore(async_url(settings.database), STATEMENT_TIMEOUT)
        self.cipher = PinCipher(settings.encryption_keys)
        self.pins = Pins(self.store, self.cipher, settings.request_timeout + MARGIN, self.check_schema, metrics)
        self.purge_after = settings.purge_after
        self.is_checked = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Check the schema, and sweep in the background. A store that is away now is checked when it is back.

        :raises ConfigError: the schema is not ours.
        """
        try:
            await self.prepare_if_there()
            async with self.sweeping():
                yield
        finally:
            await self.store.close()

    async def prepare_if_there(self) -> None:
        try:
            await self.prepare()
        except PinsUnavailable as error:
            LOG.warning("not ready yet: %s", error.message)

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        sweep = asyncio.create_task(self.sweep_for_ever(float(self.purge_after or 0) * DAY))
        try:
            yield
        finally:
            sweep.cancel()
            await asyncio.wait([sweep])  # its connection has to be given back

    async def check(self) -> None:
        """Find out whether the store can be used now, before all who wait for it: a busy server is no lost one.

        :raises PinsUnavailable: it does not answer, or its schema is not ours.
        """
        HAS_PRIORITY.set(True)
        if self.is_checked:
            await self.store.get("", "")
        else:
            await self.check_schema()

    async def check_schema(self) -> None:
        """Make sure that the schema was ours once: nothing is read of another, when the store comes back with one.

        :raises PinsUnavailable: it does not answer, or its schema is not ours.
        """
        try:
            if not self.is_checked:
                await self.prepare()
        except ConfigError as error:
            LOG.error("%s", error)
            raise PinsUnavailable("the pin store is not of this version") from None

    async def prepare(self) -> None:
        await prepare(self.store)
        self.is_checked = True

    async def sweep_for_ever(self, older_than: float) -> None:
        while older_than:  # 0 is never
            await asyncio.sleep(SWEEP_EVERY * random.uniform(0.5, 1.5))  # noqa: S311 - workers apart, no secret
            with suppress(PinsUnavailable):
                count = await purge(self.store, older_than)
                self.purged.inc(count)
                LOG.info("deleted pins that were older than %s days: %d", self.purge_after, count)


async def purge(store: PinStore, older_than: float) -> int:
    """Delete the answers that were pinned so many seconds ago or earlier, in small batches.

    :returns: how many.
    :raises PinsUnavailable: the store does not answer; what is deleted is deleted.
    """
    now = time.time()
    count = await purge_where(store, pinned_before(now - older_than))
    await purge_where(store, claimed_before(now - max(older_than, ABANDONED)))
    return count


async def purge_where(store: PinStore, condition: Condition) -> int:
    count = 0
    while keys := await store.find(condition, BATCH):
        await store.forget(keys, condition)
        count += len(keys)
        await asyncio.sleep(PAUSE)
    return count


def make_missing(settings: Settings) -> None:
    """Create the SQLite file that ``[database]`` names, if it names one that does not exist; it takes its own loop.

    :raises ConfigError: it cannot be created.
    """
    path = sqlite_path(async_url(settings.database))
    if path and is_missing(path):
        asyncio.run(prepare_alone(PinService(settings)))


async def prepare_alone(service: PinService) -> None:
    try:
        await service.prepare_if_there()
    finally:
        await service.store.close()
