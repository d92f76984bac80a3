"""Answers that last: a handler's answer from its pin, its cache or a run, and what comes instead when there is none."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vendorsrv.answer import Answer, to_bytes
from vendorsrv.cache import Cache, Kept
from vendorsrv.cloudinit_guard import Guard
from vendorsrv.errors import HandlerTimeout, NotYet, PinsUnavailable, VendordataError
from vendorsrv.flights import Flights
from vendorsrv.gate import Gate
from vendorsrv.handler import OnError
from vendorsrv.registry import Enabled
from vendorsrv.request import VendordataRequest

if TYPE_CHECKING:  # SQLAlchemy is only for handlers that pin
    from vendorsrv.pins import Pins

LOG = logging.getLogger(__name__)

NOTHING: Final = b"{}"


class Place(NamedTuple):
    """Where in the cache an answer is kept.

    :ivar mark: stands before the answer, and says what was asked; an answer to something else is stale.
    """

    key: bytes
    mark: bytes = b""


class Keeper:
    """Gives one handler's answers; one for each handler and worker.

    However many requests ask the same at once, the handler runs once, and all get its answer or its error.

    :param pins: None unless the handler pins.
    :param guard: what becomes of an answer before it is kept; one that lets an instance include nothing by default.
    :param clock: seconds that only go forward, for the handler's rest.
    :ivar instead: how often something else than the handler's answer was given, by what it was.
    """

    def __init__(
        self,
        enabled: Enabled,
        cache: Cache,
        pins: Pins | None,
        max_answer_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        guard: Guard | None = None,
    ) -> None:
        self.enabled = enabled
        self.name = enabled.name
        self.cache = cache
        self.pins = pins
        self.keeps = enabled.cache_for > 0 or enabled.on_error is OnError.STALE
        # What is given instead has to be looked up within the same deadline.
        self.reserve = cache.patience if enabled.on_error is OnError.STALE else 0.0
        self.max_answer_bytes = max_answer_bytes
        self.gate = Gate(enabled.name, enabled.concurrency, enabled.queue, clock)
        self.flights: Flights[Answer] = Flights()
        self.guard = guard or Guard()
        self.shape = self.guard.handled
        if enabled.suffix:
            self.shape = self.guard.contributed
        elif enabled.for_cloud_init:
            self.shape = self.guard.value
        self.instead: Counter[OnError] = Counter()

    async def answer(self, request: VendordataRequest, deadline: float) -> Answer:
        """Give the answer for one instance.

        :param deadline: on the monotonic clock.
        :raises VendordataError: there is none, and the handler's ``on_error`` lets the error through.
        """
        answer = await self.kept_or_made(request, deadline)
        if self.shape != self.guard.value:
            return answer
        # It may have been kept before the handler was one for cloud-init.
        return replace(answer, body=self.guard.body(answer.body, self.name))

    async def kept_or_made(self, request: VendordataRequest, deadline: float) -> Answer:
        place = self.place_of(request) if self.keeps else None
        kept = self.cache.peek(place.key) if place else None
        if place and kept and self.is_fresh(kept, place):
            return self.fresh(kept, place)
        try:
            return await self.wait(request, place, deadline - self.reserve)
        except VendordataError as error:
            if error.status < 500:  # what Nova sent is wrong, or the vendor says so
                raise
            return await self.give_instead(error, place)

    async def wait(self, request: VendordataRequest, place: Place | None, deadline: float) -> Answer:
        """Join the run of this answer or start it, and wait no longer than until the deadline."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if self.pins:
                    return await self.pinned(self.pins, request, deadline)
                flight = (place.mark or place.key) if place else request.canonical()
                return await self.flights.run(flight, lambda: self.look_up_and_make(request, place, deadline))
        except TimeoutError:
            if self.pins:  # it may have been the store: only this error is never turned into an unpinned answer
                raise PinsUnavailable(f"the answer of handler {self.name} was not pinned in time") from None
            raise HandlerTimeout(f"handler {self.name} gave no answer in time") from None

    async def pinned(self, pins: Pins, request: VendordataRequest, deadline: float) -> Answer:
        try:
            return Answer(
                await pins.get_or_make(request.instance_id, self.name, lambda: self.make(request, deadline), deadline)
            )
        except NotYet as not_yet:
            return Answer(self.to_body(not_yet.answer))

    async def look_up_and_make(self, request: VendordataRequest, place: Place | None, deadline: float) -> Answer:
        kept = await self.cache.get(place.key) if place else None
        if place and kept and self.is_fresh(kept, place):
            return self.fresh(kept, place)
        try:
            body = await self.make(request, deadline)
        except NotYet as not_yet:
            return Answer(self.to_body(not_yet.answer))
        if place is None:
            return Answer(body)
        await self.cache.set(place.key, place.mark + body)
        return self.fresh(Kept(place.mark + body, 0.0), place)

    async def make(self, request: VendordataRequest, deadline: float) -> bytes:
        """Run the handler."""
        async with self.gate.entered(request.instance_id, deadline - time.monotonic()):
            return self.to_body(await self.enabled.runner.run(request, budget=deadline - time.monotonic()))

    def to_body(self, value: Any) -> bytes:
        return to_bytes(self.shape(value, self.enabled.handler.name), self.name, self.max_answer_bytes)

    async def give_instead(self, error: VendordataError, place: Place | None) -> Answer:
        mode = self.enabled.on_error
        if mode is OnError.EMPTY and not isinstance(error, PinsUnavailable):
            self.note(mode, error)
            return Answer(NOTHING)
        kept = await self.cache.get(place.key) if place and mode is OnError.STALE else None
        if place is None or kept is None:
            raise error
        self.note(mode, error)
        return Answer(kept.body[len(place.mark) :], age=kept.age)

    def note(self, mode: OnError, error: VendordataError) -> None:
        self.instead[mode] += 1
        LOG.warning("handler %s: %s instead of its answer (%s)", self.name, mode.value, error.code)

    def is_fresh(self, kept: Kept, place: Place) -> bool:
        return kept.age < self.enabled.cache_for and kept.body.startswith(place.mark)

    def fresh(self, kept: Kept, place: Place) -> Answer:
        left = self.enabled.cache_for - kept.age
        return Answer(kept.body[len(place.mark) :], fresh_for=left if left > 0 else None, age=kept.age)

    def place_of(self, request: VendordataRequest) -> Place:
        """Say where the answer is kept: under what was asked, or, to be found when it is stale, under its instance."""
        asked = hashlib.sha256(f"{self.name}\0{self.enabled.version}\0".encode() + request.canonical()).digest()
        if self.enabled.on_error is not OnError.STALE:
            return Place(asked)
        return Place(hashlib.sha256(f"{self.name}\0{request.instance_id}".encode()).digest(), asked)

    def state(self) -> dict[str, Any]:
        """Say how the handler does, for ``/-/ready``."""
        return {
            "state": "resting" if self.gate.resting else "ok",
            **{mode.value: count for mode, count in self.instead.items()},
        }
