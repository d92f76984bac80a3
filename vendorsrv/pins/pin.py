"""Answers that hold for an instance's life: made once, by one run in the whole cloud, and read each time."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from vendorsrv.concurrency import HAS_PRIORITY, SingleFlight
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Row
from vendorsrv.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)

#: Seconds between two looks at a claim of somebody else; each pause is half as long again as the one before.
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.25
#: Seconds by which a claim may lie in the future before it counts as one from before the clock was set back.
CLOCK_SKEW: Final = 1.0


class Pins:
    """Gives each instance its first answer; one for each worker.

    :param lease: seconds after which the claim of a run is over, though nobody gave it up: its worker died. Longer
        than any run may take.
    :param check: raises PinsUnavailable while the store must not be used.
    """

    def __init__(
        self,
        store: PinStore,
        cipher: PinCipher,
        lease: float,
        check: Callable[[], Awaitable[None]] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.waits = (metrics or Metrics()).counter("vendorsrv_pin_waits_total")
        self.store = store
        self.check = check
        self.cipher = cipher
        self.lease = lease
        self.single_flight: SingleFlight[bytes] = SingleFlight()

    def peek(self, instance_id: str, handler: str) -> bytes | None:
        """Read the pinned answer if that costs no waiting; None when there is none, or :meth:`get` has to be asked.

        :raises PinsUnavailable: it cannot be decrypted.
        """
        stored = self.store.peek(instance_id, handler) if self.check is None else None
        return self.cipher.unseal(instance_id, handler, stored) if stored else None

    async def get(self, instance_id: str, handler: str) -> bytes | None:
        """Read the pinned answer: one indexed read, each time, so that what is forgotten is forgotten at once.

        :raises PinsUnavailable: it cannot be read now.
        """
        return self.answer_in(await self.row_of(instance_id, handler))

    async def get_or_make(
        self, instance_id: str, handler: str, make: Callable[[], Awaitable[bytes]], deadline: float
    ) -> bytes:
        """Give the pinned answer, or make it: the others, here and on other hosts, wait for it meanwhile.

        :param make: runs the handler; called by one of all who want this answer now. What it raises is raised, and
            nothing is pinned.
        :param deadline: on the monotonic clock.
        :raises PinsUnavailable: the store is away, or somebody else's run did not end in time.
        """
        row = await self.row_of(instance_id, handler)
        found = self.answer_in(row)
        if found is not None:
            return found
        return await self.single_flight.run(
            (instance_id, handler), lambda: self.claim_and_make(instance_id, handler, make, deadline, row)
        )

    async def row_of(self, instance_id: str, handler: str) -> Row | None:
        if self.check:
            await self.check()
            self.check = None  # a store that was ours once is ours
        return await self.store.get(instance_id, handler)

    async def claim_and_make(
        self, instance_id: str, handler: str, make: Callable[[], Awaitable[bytes]], deadline: float, row: Row | None
    ) -> bytes:
        HAS_PRIORITY.set(True)
        pause = FIRST_PAUSE
        while (found := self.answer_in(row)) is None:
            owner = secrets.token_hex(16)
            if row is None or self.is_over(row):
                is_ours = await self.store.claim(instance_id, handler, owner, row.owner if row else None)
                row = None if is_ours else await self.store.get(instance_id, handler)
                if is_ours or (row and row.owner == owner):
                    return await self.make_claimed(instance_id, handler, owner, make, deadline)
                continue
            if time.monotonic() + pause > deadline:
                raise PinsUnavailable(f"another worker is still making the answer of handler {handler}")
            if pause == FIRST_PAUSE:
                self.waits.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            row = await self.store.get(instance_id, handler)
        return found

    async def make_claimed(
        self, instance_id: str, handler: str, owner: str, make: Callable[[], Awaitable[bytes]], deadline: float
    ) -> bytes:
        try:
            body = await make()
            await self.store.fulfil(instance_id, handler, owner, self.cipher.seal(instance_id, handler, body))
        except BaseException:
            with suppress(PinsUnavailable):  # then the lease ends it
                await self.store.release(instance_id, handler, owner)
            raise
        # Not `body`: the claim may have been over, and another run's answer be the one that is kept.
        return await self.claim_and_make(
            instance_id, handler, make, deadline, await self.store.get(instance_id, handler)
        )

    def answer_in(self, row: Row | None) -> bytes | None:
        if row is None or row.answer is None:
            return None
        return self.cipher.unseal(row.instance_id, row.handler, row.answer)

    def is_over(self, row: Row) -> bool:
        return not -CLOCK_SKEW < row.claim_age < self.lease
