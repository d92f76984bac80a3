"""Answers for the life of an instance: created once, by one run in the whole cloud, and read from then on."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from vendorsrv.answer import HandlerAnswer
from vendorsrv.concurrency import GOING_ON, HAS_PRIORITY, SingleFlight
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.claim import Claim
from vendorsrv.pins.store import PinStore, keys_of
from vendorsrv.pins.table import HAS_EXPIRED, Row, storable
from vendorsrv.request import STILL_OURS
from vendorsrv.telemetry.metrics import Metrics

#: Seconds between two reads of another worker's claim; each pause is half as long again as the one before.
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.25
#: Seconds by which a claim may lie in the future. One that is later was made before the clock was set back.
CLOCK_SKEW: Final = 1.0


Create = Callable[[], Awaitable[HandlerAnswer]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that is not pinned yet; the arguments of :meth:`Pins.get_or_create`."""

    instance_id: str
    handler: str
    create: Create
    deadline: float
    pin_for: float | None
    project_id: str | None

    @property
    def key(self) -> tuple[str, str]:
        """The key of its row."""
        return self.instance_id, self.handler


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
        self.single_flight: SingleFlight[HandlerAnswer] = SingleFlight()
        self.releasing: set[asyncio.Task[None]] = set()

    def peek(self, instance_id: str, handler: str) -> bytes | None:
        """Return the pinned answer if it can be read without waiting. None means nothing: ask :meth:`get`.

        :raises PinsUnavailable: it cannot be decrypted.
        """
        stored = self.store.peek(instance_id, handler) if self.check is None else None
        return self.cipher.decrypt(instance_id, handler, stored) if stored else None

    async def get(self, instance_id: str, handler: str) -> HandlerAnswer | None:
        """Return the pinned answer; None when there is none. No copy is kept, so a forgotten pin is gone at once.

        :raises PinsUnavailable: it cannot be read now.
        """
        return self.answer_in(await self.row_of(instance_id, handler))

    async def get_or_create(
        self,
        instance_id: str,
        handler: str,
        create: Create,
        deadline: float,
        *,
        pin_for: float = 0.0,
        project_id: str | None = None,
    ) -> HandlerAnswer:
        """Return the pinned answer, or create it while every other caller, here and on other hosts, waits for it.

        :param create: runs the handler; only one of the concurrent callers' is called. Its exception is raised, and
            nothing is pinned.
        :param deadline: on the monotonic clock.
        :param pin_for: seconds after which the pin expires, unless the answer says when; 0: never.
        :param project_id: the instance's, to be stored with the pin.
        :raises PinsUnavailable: the store is unavailable, or another worker's run did not end in time.
        """
        row = await self.row_of(instance_id, handler)
        if (found := self.answer_in(row)) is not None:
            return found
        wanted = Wanted(instance_id, handler, create, deadline, pin_for or None, storable(project_id))
        return await self.single_flight.run((instance_id, handler), lambda: self.claim_and_create(wanted, row))

    async def forget(self, instance_id: str, handler: str) -> None:
        """Forget a handler's answers for an instance, for each target, and its preparation.

        :raises PinsUnavailable: the store is unavailable.
        """
        await self.store.forget([(instance_id, name) for name in keys_of(handler)])

    async def row_of(self, instance_id: str, handler: str) -> Row | None:
        if self.check:
            await self.check()
            self.check = None  # a schema that was right once stays right
        return await self.store.get(instance_id, handler)

    async def claim_and_create(self, wanted: Wanted, row: Row | None) -> HandlerAnswer:
        HAS_PRIORITY.set(True)
        owner, pause, key, began = secrets.token_hex(16), FIRST_PAUSE, wanted.key, time.monotonic()
        while (found := self.answer_in(row)) is None:
            if row and row.is_expired:
                await self.store.forget([key], HAS_EXPIRED)
                row = None
            if row is None or not -CLOCK_SKEW < row.claim_age < self.lease:
                expired = row.owner if row else None
                began = time.monotonic()
                if await self.store.claim(*key, owner, expired, project_id=wanted.project_id):
                    return await self.create_claimed(wanted, owner, began)
                row = await self.store.get(*key)
                if row and row.answer is not None:
                    continue
            if row and row.owner == owner:
                return await self.create_claimed(wanted, owner, began - row.claim_age)
            if time.monotonic() + pause > wanted.deadline:
                if row is None:
                    raise PinsUnavailable("the pin store does not show what was written to it")
                raise PinsUnavailable(f"another worker is still running handler {wanted.handler} for this instance")
            if pause == FIRST_PAUSE:
                self.waits.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            began = time.monotonic()
            row = await self.store.get(*key)
        return found

    async def create_claimed(self, wanted: Wanted, owner: str, since: float) -> HandlerAnswer:
        key = wanted.key
        claim = Claim(self.store, key, owner, since + self.lease)
        GOING_ON.set(claim.going_on)
        STILL_OURS.set(claim.check)
        try:
            made = await wanted.create()
            stored = self.cipher.encrypt(*key, made.body)
            await self.store.pin(*key, owner, stored, expires_at=made.expires_at, pin_for=wanted.pin_for)
        except BaseException:
            if claim.is_used:
                # A side effect of the run that goes on must not come after those of the next.
                task = asyncio.create_task(claim.release_when_unused())
                self.releasing.add(task)
                task.add_done_callback(self.releasing.discard)
            else:
                await claim.release()
            raise
        # Not what was made: the claim may have expired, and another run's answer may have been pinned.
        row = await self.store.get(*key)
        if (row is None or row.is_expired) and time.monotonic() > wanted.deadline:
            raise PinsUnavailable(f"the answer of handler {wanted.handler} was forgotten while it was made")
        return await self.claim_and_create(wanted, row)

    def answer_in(self, row: Row | None) -> HandlerAnswer | None:
        if row is None or row.answer is None or row.is_expired:
            return None
        body = self.cipher.decrypt(row.instance_id, row.handler, row.answer)
        return HandlerAnswer(body, expires_at=row.expires_at)
