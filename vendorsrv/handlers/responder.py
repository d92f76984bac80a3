"""One handler's answers: pinned, cached or from a run, with the fallback when there is none."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from vendorsrv.answer import NOTHING, Answer, HandlerAnswer, modelled, to_bytes
from vendorsrv.cache.answers import Cache
from vendorsrv.cache.entries import CachedAnswer
from vendorsrv.cloudinit.guard import Guard, size_of
from vendorsrv.cloudinit.text import ON_LOOP
from vendorsrv.concurrency import SingleFlight
from vendorsrv.declarations import CLOUD_INIT_SUFFIX, OnError
from vendorsrv.errors import (
    HandlerTimeout,
    NotForThisInstance,
    NotYet,
    PinsUnavailable,
    VendordataError,
)
from vendorsrv.handlers.cache_keys import CacheKey, CacheKeys
from vendorsrv.handlers.limiter import Limiter
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.handlers.vendor_code import state_of
from vendorsrv.request import VendordataRequest
from vendorsrv.telemetry.metrics import HandlerMetrics, Metrics

if TYPE_CHECKING:  # SQLAlchemy is only for handlers that pin
    from vendorsrv.facts.lookups import Lookups
    from vendorsrv.pins.pin import Pins

LOG = logging.getLogger(__name__)

CheckDeleted = Callable[[str], Awaitable[None]]


class Responder:
    """Returns one handler's answers; one for each handler and worker.

    Concurrent requests with the same question share one run of the handler, and its answer or its error.

    :param pins: None unless the handler pins.
    :param preparation: of a handler with ``prepare``; pins what that makes.
    :param guard: checks what cloud-init gets; by default one that allows no ``#include``.
    :param clock: monotonic seconds, for the circuit breaker.
    :param lookups: of the facts that the handler needs.
    :param check_deleted: raises InstanceDeleted for the id of an instance that is gone; asked before each run.
    :ivar fallbacks: how often each fallback was the answer.
    """

    def __init__(
        self,
        enabled: EnabledHandler,
        cache: Cache,
        pins: Pins | None,
        max_answer_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        guard: Guard | None = None,
        metrics: HandlerMetrics | None = None,
        preparation: Responder | None = None,
        lookups: Lookups | None = None,
        check_deleted: CheckDeleted | None = None,
    ) -> None:
        self.enabled = enabled
        self.name = enabled.name
        self.cache, self.pins = cache, pins
        self.uses_stale = enabled.on_error is OnError.STALE
        self.caches = enabled.cache_limit > 0 or self.uses_stale
        # The fallback has to be looked up within the same deadline.
        self.reserve = cache.timeout if self.uses_stale else 0.0
        self.max_answer_bytes = max_answer_bytes
        keys = CacheKeys(enabled)
        self.key_of = keys.of
        # What is cached may have been made for another instance.
        self.verifies_first = keys.has_own and enabled.verify
        handler = enabled.handler
        self.lookups, self.needs = lookups, enabled.needs
        self.check_deleted = check_deleted
        self.model = None if enabled.suffix else handler.answer
        self.limiter = Limiter(enabled.name, enabled.concurrency, enabled.queue, clock)
        self.single_flight: SingleFlight[Answer] = SingleFlight()
        self.guard = guard or Guard()
        self.metrics = metrics or HandlerMetrics(Metrics(), enabled.name)
        self.preparation = preparation
        self.shape = self.guard.check_parts
        if enabled.suffix == CLOUD_INIT_SUFFIX:
            self.shape = self.guard.check_contribution
        elif enabled.for_cloud_init:
            self.shape = self.guard.check_answer
        # Servers of 0.1.0 that share the pins know of one form of no parts only, which /cloud-init leaves out.
        self.nothing = b"{}" if enabled.suffix == CLOUD_INIT_SUFFIX else NOTHING
        self.is_checked_again = self.shape == self.guard.check_answer
        self.fallbacks: Counter[OnError] = Counter()

    async def answer(self, request: VendordataRequest, deadline: float) -> Answer:
        """Return the answer for one instance.

        :param deadline: on the monotonic clock.
        :raises VendordataError: there is none, and ``on_error`` has no fallback for it.
        """
        answer = await self.answer_or_fallback(request, deadline)
        self.metrics.answered(answer.source)
        if not self.is_checked_again:
            return answer
        # It may have been stored before the handler was one for cloud-init.
        return replace(answer, body=await self.check_stored(answer.body, deadline))

    async def answer_or_fallback(self, request: VendordataRequest, deadline: float) -> Answer:
        key = None
        try:
            try:
                if self.pins:
                    return await self.pinned(self.pins, request, deadline)
                if self.verifies_first:
                    request = await self.with_facts(request, deadline - self.reserve)
                key = self.key_of(request)
                return await self.cached_or_run(request, key, deadline - self.reserve)
            except NotYet as not_yet:
                return Answer(await self.to_body(not_yet.answer, deadline))
        except VendordataError as error:
            if error.status < 500:  # what Nova sent is wrong, or the handler says so
                raise
            self.metrics.failed(error)
            return await self.fallback(error, key)

    async def pinned(self, pins: Pins, request: VendordataRequest, deadline: float) -> Answer:
        if body := pins.peek(request.instance_id, self.name):
            return Answer(body, source="pin")
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return Answer((await self.create_pin(pins, request, deadline)).body, source="pin")
        except TimeoutError:  # perhaps of the store: only this error is never turned into an unpinned answer
            raise PinsUnavailable(f"the answer of handler {self.name} was not pinned in time") from None

    async def create_pin(self, pins: Pins, request: VendordataRequest, deadline: float) -> HandlerAnswer:
        # A run that has begun gets the handler's whole timeout, as far as its claim holds, however long its request
        # has waited for it: Nova's next call finds what it made.
        async def make() -> HandlerAnswer:
            return await self.prepare_and_run(pins, request, time.monotonic() + min(self.enabled.timeout, pins.lease))

        return await pins.get_or_create(
            *(request.instance_id, self.name, make, deadline),
            pin_for=self.enabled.pin_for,
            project_id=request.project_id,
        )

    async def prepare_and_run(self, pins: Pins, request: VendordataRequest, deadline: float) -> HandlerAnswer:
        """Run the handler with its preparation, for which the instance's first run waits; both expire together."""
        if self.preparation is None:
            return await self.run(request, deadline)
        prepared = await self.before(deadline, self.preparation.create_pin(pins, request, deadline))
        if prepared.body == NOTHING:
            return HandlerAnswer(self.nothing, expires_at=prepared.expires_at)
        answer = await self.run(replace(request, prepared=json.loads(prepared.body)), deadline)
        return replace(answer, expires_at=prepared.expires_at)

    async def before(self, deadline: float, pinned: Awaitable[HandlerAnswer]) -> HandlerAnswer:
        """Return what is pinned for another answer; raise HandlerTimeout if it is not there by the deadline."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await pinned
        except TimeoutError:
            raise HandlerTimeout(f"handler {self.name} gave no answer in time") from None

    async def cached_or_run(self, request: VendordataRequest, key: CacheKey, deadline: float) -> Answer:
        """Return a fresh answer from the cache, or join or start the run of this question until the deadline."""
        if self.caches and (answer := self.fresh(self.cache.peek(key.entry), key)):
            return answer
        joins = key.question in self.single_flight.running
        # A run alone ends within its deadline; one that asks the cache before and after it may not.
        run = self.single_flight.run if self.caches else self.single_flight.run_in_caller
        try:
            work = partial(self.look_up_or_run, request, key, deadline)
            answer = await run(key.question, work, deadline - time.monotonic())
        except TimeoutError:
            raise HandlerTimeout(f"handler {self.name} gave no answer in time") from None
        return Answer(answer.body, answer.fresh_for, "shared") if joins else answer

    async def look_up_or_run(self, request: VendordataRequest, key: CacheKey, deadline: float) -> Answer:
        if self.caches and (answer := self.fresh(await self.cache.get(key.entry), key)):
            return answer
        made = await self.run(request, deadline)
        max_age = self.enabled.cache_for if made.max_age is None else made.max_age
        fresh_for = min(max_age, self.enabled.cache_limit) if made.may_store else 0.0
        if fresh_for > 0 or (made.may_store and self.uses_stale):
            await self.cache.set(key.entry, key.mark + made.body, max_age)
        return Answer(made.body, fresh_for or None)

    async def run(self, request: VendordataRequest, deadline: float) -> HandlerAnswer:
        if self.check_deleted:  # with the instance claimed, if the answer is pinned: what is deleted later waits
            await self.check_deleted(request.instance_id)
        async with self.limiter.slot(request, deadline - time.monotonic()) as hold_for:
            with self.metrics.runs.measure():
                request = await self.with_facts(request, deadline)
                budget = deadline - time.monotonic()
                try:
                    value = await self.enabled.runner.run(
                        request, budget=budget, on_start=hold_for, project_id=request.project_id
                    )
                except NotForThisInstance:
                    return HandlerAnswer(self.nothing)
                if not isinstance(value, HandlerAnswer):
                    return HandlerAnswer(await self.to_body(value, deadline))
                if self.model:
                    modelled(json.loads(value.body), self.model, self.name)
                if self.is_checked_again:
                    return replace(value, body=await self.check_stored(value.body, deadline))
                return value

    async def with_facts(self, request: VendordataRequest, deadline: float) -> VendordataRequest:
        if not (self.lookups and self.needs):
            return request
        facts = await self.lookups.get(request, self.needs, deadline, verify=self.enabled.verify)
        return request.with_facts(facts)

    async def to_body(self, value: Any, deadline: float) -> bytes:
        return await self.guard.check(size_of(value), deadline, self.encoded, value)

    def encoded(self, value: Any) -> bytes:
        if self.model:
            value = modelled(value, self.model, self.name)
        body = to_bytes(self.shape(value, self.enabled.handler.name), self.name, self.max_answer_bytes)
        if self.is_checked_again:
            self.guard.remember(body)
        return body

    async def check_stored(self, body: bytes, deadline: float) -> bytes:
        if self.guard.knows(body):
            return body
        size = size_of(json.loads(body)) if len(body) <= ON_LOOP else len(body)
        return await self.guard.check(size, deadline, self.guard.check_stored, body, self.name)

    async def fallback(self, error: VendordataError, key: CacheKey | None) -> Answer:
        """Return what ``on_error`` sets instead of an error, or raise the error."""
        if self.uses_stale and key and (cached := await self.cache.get(key.entry)):
            self.count_fallback(error)
            return Answer(cached.body[len(key.mark) :], source="stale")
        if self.enabled.on_error is not OnError.EMPTY or isinstance(error, PinsUnavailable):
            raise error
        self.count_fallback(error)
        return Answer(b"{}", source="empty")

    def count_fallback(self, error: VendordataError) -> None:
        mode = self.enabled.on_error
        self.fallbacks[mode] += 1
        LOG.warning("handler %s failed (%s); fallback: %s", self.name, error.code, mode.value)

    def fresh(self, cached: CachedAnswer | None, key: CacheKey) -> Answer | None:
        """Return an answer from the cache, if it is one to this question and still fresh."""
        if cached is None or not cached.body.startswith(key.mark):
            return None
        fresh_for = min(cached.max_age, self.enabled.cache_limit) - cached.age
        return Answer(cached.body[len(key.mark) :], fresh_for, "cache") if fresh_for > 0 else None

    def state(self) -> dict[str, Any]:
        """Return the handler's state for ``/-/ready``: ``error`` when its own method fails or gives no JSON object."""
        own = state_of(self.enabled.handler)
        usual = "ok" if own.get("ready") is not False else "not_ready"
        return {
            "state": "circuit_open" if self.limiter.is_open else usual,
            **own,
            **{mode.value: count for mode, count in self.fallbacks.items()},
        }
