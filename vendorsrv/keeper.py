"""Answers that last: a handler's answer from its pin, its cache or a run, and what comes instead when there is none."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from typing import Any, Final

from vendorsrv.answer import Answer, to_bytes
from vendorsrv.cache import Cache, Kept
from vendorsrv.cloudinit_guard import Guard
from vendorsrv.errors import HandlerTimeout, NotYet, PinsUnavailable, VendordataError
from vendorsrv.flights import Flights
from vendorsrv.gate import Gate
from vendorsrv.handler import OnError
from vendorsrv.pins import Pins
from vendorsrv.registry import Enabled
from vendorsrv.request import VendordataRequest

LOG = logging.getLogger(__name__)

NOTHING: Final = b"{}"


class Keeper:
    """Gives one handler's answers; one for each handler and worker.

    However many requests ask the same at once, the handler runs once, and all get its answer or its error.

    :param pins: None unless the handler pins.
    :param guard: what becomes of an answer before it is kept.
    :ivar instead: how often something else than the handler's answer was given, by what it was.
    """

    def __init__(self, enabled: Enabled, cache: Cache, pins: Pins | None, max_answer_bytes: int, guard: Guard) -> None:
        self.enabled = enabled
        self.name = enabled.name
        self.cache = cache
        self.pins = pins
        self.keeps = enabled.cache_for > 0 or enabled.on_error is OnError.STALE
        self.max_answer_bytes = max_answer_bytes
        self.gate = Gate(enabled.name, enabled.concurrency, enabled.queue)
        self.flights: Flights[Answer] = Flights()
        self.guard = guard
        self.shape = guard.handled
        if enabled.suffix:
            self.shape = guard.contributed
        elif enabled.for_cloud_init:
            self.shape = guard.value
        mark = f"{guard.mark}\0" if enabled.for_cloud_init else ""
        self.key_prefix = f"{enabled.name}\0{enabled.version}\0{mark}".encode()
        self.instead: Counter[OnError] = Counter()

    async def answer(self, request: VendordataRequest, deadline: float) -> Answer:
        """Give the answer for one instance.

        :param deadline: on the monotonic clock.
        :raises VendordataError: there is none, and the handler's ``on_error`` lets the error through.
        """
        key = self.key_of(request) if self.keeps else b""
        kept = self.cache.peek(key) if self.keeps else None
        if kept and self.is_fresh(kept):
            return self.fresh(kept)
        try:
            return await self.wait(request, key, deadline)
        except VendordataError as error:
            if error.status < 500:  # what Nova sent is wrong, or the vendor says so
                raise
            return await self.give_instead(error, key)

    async def wait(self, request: VendordataRequest, key: bytes, deadline: float) -> Answer:
        """Join the run of this answer or start it, and wait no longer than until the deadline."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if self.pins:
                    return await self.pinned(self.pins, request, deadline)
                flight = key or request.canonical()
                return await self.flights.run(flight, lambda: self.look_up_and_make(request, key, deadline))
        except TimeoutError:
            raise HandlerTimeout(f"handler {self.name} gave no answer in time") from None

    async def pinned(self, pins: Pins, request: VendordataRequest, deadline: float) -> Answer:
        try:
            body = await pins.get_or_make(
                request.instance_id, self.name, lambda: self.make(request, deadline), deadline
            )
        except NotYet as not_yet:
            return Answer(self.to_body(not_yet.answer))
        # It may have been pinned before the handler was one for cloud-init.
        return Answer(self.guard.body(body, self.name) if self.shape == self.guard.value else body)

    async def look_up_and_make(self, request: VendordataRequest, key: bytes, deadline: float) -> Answer:
        if self.keeps:
            kept = await self.cache.get(key)
            if kept and self.is_fresh(kept):
                return self.fresh(kept)
        try:
            body = await self.make(request, deadline)
        except NotYet as not_yet:
            return Answer(self.to_body(not_yet.answer))
        if not self.keeps:
            return Answer(body)
        await self.cache.set(key, body)
        return self.fresh(Kept(body, 0.0))

    async def make(self, request: VendordataRequest, deadline: float) -> bytes:
        """Run the handler."""
        async with self.gate.entered(deadline - time.monotonic()):
            return self.to_body(await self.enabled.runner.run(request, budget=deadline - time.monotonic()))

    def to_body(self, value: Any) -> bytes:
        return to_bytes(self.shape(value, self.enabled.handler.name), self.name, self.max_answer_bytes)

    async def give_instead(self, error: VendordataError, key: bytes) -> Answer:
        mode = self.enabled.on_error
        if mode is OnError.EMPTY and not isinstance(error, PinsUnavailable):
            self.note(mode, error)
            return Answer(NOTHING)
        kept = await self.cache.get(key) if mode is OnError.STALE else None
        if kept is None:
            raise error
        self.note(mode, error)
        return Answer(kept.body, age=kept.age)

    def note(self, mode: OnError, error: VendordataError) -> None:
        self.instead[mode] += 1
        LOG.warning("handler %s: %s instead of its answer (%s)", self.name, mode.value, error.code)

    def is_fresh(self, kept: Kept) -> bool:
        return kept.age < self.enabled.cache_for

    def fresh(self, kept: Kept) -> Answer:
        left = self.enabled.cache_for - kept.age
        return Answer(kept.body, fresh_for=left if left > 0 else None, age=kept.age)

    def key_of(self, request: VendordataRequest) -> bytes:
        return hashlib.sha256(self.key_prefix + request.canonical()).digest()

    def state(self) -> dict[str, Any]:
        """Say how the handler does, for ``/-/ready``."""
        return {
            "state": "resting" if self.gate.resting else "ok",
            **{mode.value: count for mode, count in self.instead.items()},
        }
