"""Answers for the life of an instance: created once, by one run in the whole cloud, and read from then on."""

from __future__ import annotations

import asyncio
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

#: Seconds between two reads of another worker's claim; each pause is half as long again as the one before.
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.25
#: Seconds by which a claim may lie in the future. One that is later was made before the clock was set back.
CLOCK_SKEW: Final = 1.0


class Pins:
    """The pins of a worker: each instance's first answer of each handler.

    :param lease: seconds after which a claim expires, because its worker died. Longer than any run may take.
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
        """Return the pinned answer if it can be read without waiting. None means nothing: ask :meth:`get`.

        :raises PinsUnavailable: it cannot be decrypted.
        """
        stored = self.store.peek(instance_id, handler) if self.check is None else None
        return self.cipher.decrypt(instance_id, handler, stored) if stored else None

    async def get(self, instance_id: str, handler: str) -> bytes | None:
        """Return the pinned answer; None when there is none. No copy is kept, so a forgotten pin is gone at once.

        :raises PinsUnavailable: it cannot be read now.
        """
        return self.answer_in(await self.row_of(instance_id, handler))

    async def get_or_create(
        self, instance_id: str, handler: str, create: Callable[[], Awaitable[bytes]], deadline: float
    ) -> bytes:
        """Return the pinned answer, or create it while every other caller, here and on other hosts, waits for it.

        :param create: runs the handler; only one of the concurrent callers' is called. Its exception is raised, and
            nothing is pinned.
        :param deadline: on the monotonic clock.
        :raises PinsUnavailable: the store is unavailable, or another worker's run did not end in time.
        """
        row = await self.row_of(instance_id, handler)
        if (found := self.answer_in(row)) is not None:
            return found
        return await self.single_flight.run(
            (instance_id, handler), lambda: self.claim_and_create(instance_id, handler, create, deadline, row)
        )

    async def row_of(self, instance_id: str, handler: str) -> Row | None:
        if self.check:
            await self.check()
            self.check = None  # a schema that was right once stays right
        return await self.store.get(instance_id, handler)

    async def claim_and_create(
        self, instance_id: str, handler: str, create: Callable[[], Awaitable[bytes]], deadline: float, row: Row | None
    ) -> bytes:
        HAS_PRIORITY.set(True)
        owner, pause = secrets.token_hex(16), FIRST_PAUSE
        while (found := self.answer_in(row)) is None:
            if row is None or not -CLOCK_SKEW < row.claim_age < self.lease:
                if await self.store.claim(instance_id, handler, owner, row.owner if row else None):
                    return await self.create_claimed(instance_id, handler, owner, create, deadline)
                row = await self.store.get(instance_id, handler)
                if row and row.answer is not None:
                    continue
            if row and row.owner == owner:
                return await self.create_claimed(instance_id, handler, owner, create, deadline)
            if time.monotonic() + pause > deadline:
                if row is None:
                    raise PinsUnavailable("the pin store does not show what was written to it")
                raise PinsUnavailable(f"another worker is still running handler {handler} for this instance")
            if pause == FIRST_PAUSE:
                self.waits.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            row = await self.store.get(instance_id, handler)
        return found

    async def create_claimed(
        self, instance_id: str, handler: str, owner: str, create: Callable[[], Awaitable[bytes]], deadline: float
    ) -> bytes:
        try:
            body = await create()
            await self.store.pin(instance_id, handler, owner, self.cipher.encrypt(instance_id, handler, body))
        except BaseException:
            with suppress(PinsUnavailable):  # the claim expires with its lease
                await self.store.release(instance_id, handler, owner)
            raise
        # Not `body`: the claim may have expired, and another run's answer may have been pinned.
        return await self.claim_and_create(
            instance_id, handler, create, deadline, await self.store.get(instance_id, handler)
        )

    def answer_in(self, row: Row | None) -> bytes | None:
        return self.cipher.decrypt(row.instance_id, row.handler, row.answer) if row and row.answer is not None else None
