"""Answers that last: a handler's answer from its pin, its cache or a run, and what comes instead when there is none."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vendorsrv.answer import Answer, to_bytes
from vendorsrv.cache.answers import Cache, Kept
from vendorsrv.cache.lifetime import SILENT, Found, Lifetime, Reusable, pack, unpack
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.concurrency import SingleFlight
from vendorsrv.errors import HandlerTimeout, NotYet, PinsUnavailable, UpstreamRefused, VendordataError
from vendorsrv.handler import OnError
from vendorsrv.handlers.limiter import Limiter
from vendorsrv.handlers.registry import Enabled
from vendorsrv.request import VendordataRequest
from vendorsrv.telemetry.metrics import HandlerMetrics, Metrics

if TYPE_CHECKING:  # SQLAlchemy is only for handlers that pin
    from vendorsrv.pins.pin import Pins

LOG = logging.getLogger(__name__)

NOTHING: Final = b"{}"


class Place(NamedTuple):
    """Where in the cache an answer is kept.

    :ivar mark: stands before the answer, and says what was asked; an answer to something else is stale.
    """

    key: bytes
    mark: bytes = b""

    @property
    def asked(self) -> bytes:
        """The same for all who ask the same."""
        return self.mark or self.key


class Responder:
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
        metrics: HandlerMetrics | None = None,
    ) -> None:
        self.enabled = enabled
        self.name = enabled.name
        self.prefix = f"{enabled.name}\0{enabled.version}\0".encode()
        self.cache = cache
        self.pins = pins
        self.own_lifetimes = enabled.handler.own_lifetimes and not pins
        self.looks_back = enabled.on_error is OnError.STALE or self.own_lifetimes
        self.keeps = enabled.cache_for > 0 or self.looks_back
        # What is given instead has to be looked up within the same deadline.
        self.reserve = cache.patience if self.looks_back else 0.0
        self.max_answer_bytes = max_answer_bytes
        self.limiter = Limiter(enabled.name, enabled.concurrency, enabled.queue, clock)
        self.single_flight: SingleFlight[Answer] = SingleFlight()
        self.refreshes: SingleFlight[Answer] = SingleFlight()
        self.guard = guard or Guard()
        self.metrics = metrics or HandlerMetrics(Metrics(), enabled.name)
        self.shape = self.guard.handled
        if enabled.suffix:
            self.shape = self.guard.contributed
        elif enabled.for_cloud_init:
            self.shape = self.guard.value
        self.is_checked_again = self.shape == self.guard.value
        self.instead: Counter[OnError] = Counter()

    async def answer(self, request: VendordataRequest, deadline: float) -> Answer:
        """Give the answer for one instance.

        :param deadline: on the monotonic clock.
        :raises VendordataError: there is none, and the handler's ``on_error`` lets the error through.
        """
        answer = await self.kept_or_made(request, deadline)
        self.metrics.answered(answer.source)
        if not self.is_checked_again:
            return answer
        # It may have been kept before the handler was one for cloud-init.
        return replace(answer, body=self.guard.body(answer.body, self.name))

    async def kept_or_made(self, request: VendordataRequest, deadline: float) -> Answer:
        place = self.place_of(request) if self.keeps else None
        if place and (usable := self.usable(self.open(self.cache.peek(place.key), place), request, place)):
            return usable
        try:
            return await self.wait(request, place, deadline - self.reserve)
        except VendordataError as error:
            if error.status < 500:  # what Nova sent is wrong, or the vendor says so
                raise
            self.metrics.failed(error)
            return await self.give_instead(error, place)

    async def wait(self, request: VendordataRequest, place: Place | None, deadline: float) -> Answer:
        """Join the run of this answer or start it, and wait no longer than until the deadline."""
        if self.pins:
            found = self.pins.peek(request.instance_id, self.name)
            return Answer(found, source="pin") if found else await self.pinned(self.pins, request, deadline)
        flight = place.asked if place else request.canonical() + self.who_asks(request)
        joins = flight in self.single_flight.running
        # A run alone ends within its deadline; what looks into the cache before and after it may not.
        fly = self.single_flight.run if place else self.single_flight.run_in_caller
        try:
            answer = await fly(
                flight, lambda: self.look_up_and_make(request, place, deadline), deadline - time.monotonic()
            )
        except TimeoutError:
            raise HandlerTimeout(f"handler {self.name} gave no answer in time") from None
        return Answer(answer.body, answer.fresh_for, "joined") if joins else answer

    async def pinned(self, pins: Pins, request: VendordataRequest, deadline: float) -> Answer:
        # A run that has begun gets the time that the handler may take and its claim holds, whatever its request has
        # spent waiting for it: what it makes is there for the next of Nova's calls.
        def make() -> Awaitable[bytes]:
            return self.make_body(request, time.monotonic() + min(self.enabled.timeout, pins.lease))

        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return Answer(await pins.get_or_make(request.instance_id, self.name, make, deadline), source="pin")
        except TimeoutError:  # it may have been the store: only this error is never turned into an unpinned answer
            raise PinsUnavailable(f"the answer of handler {self.name} was not pinned in time") from None
        except NotYet as not_yet:
            return Answer(self.to_body(not_yet.answer))

    async def look_up_and_make(self, request: VendordataRequest, place: Place | None, deadline: float) -> Answer:
        found = self.open(await self.cache.get(place.key), place) if place else None
        if place and (usable := self.usable(found, request, place)):
            return usable
        try:
            if place is None:
                return Answer(await self.make_body(request, deadline))
            return await self.make_and_keep(request, place, found, deadline)
        except NotYet as not_yet:
            return Answer(self.to_body(not_yet.answer))

    async def make_and_keep(
        self, request: VendordataRequest, place: Place, found: Found | None, deadline: float
    ) -> Answer:
        """Run the handler and keep its answer, or go on keeping the old one when the handler says that it holds."""
        if found and found.matches and found.lifetime.validator:
            request = replace(request, validator=found.lifetime.validator)
        made = await self.make(request, deadline)
        if made.body is None:
            assert found is not None
            made = Reusable(found.body, made.lifetime or replace(found.lifetime, age=0.0))
        assert made.body is not None
        assert made.lifetime is not None
        if not self.is_worth_keeping(made.lifetime):
            return Answer(made.body)
        header = pack(made.lifetime) if self.own_lifetimes else b""
        await self.cache.set(place.key, place.mark + header + made.body)
        return self.shown(Found(made.body, 0.0, made.lifetime))

    async def make_body(self, request: VendordataRequest, deadline: float) -> bytes:
        made = await self.make(request, deadline)
        assert made.body is not None
        return made.body

    async def make(self, request: VendordataRequest, deadline: float) -> Reusable:
        """Run the handler."""
        async with self.limiter.slot(request.instance_id, deadline - time.monotonic()):
            with self.metrics.run():
                value = await self.enabled.runner.run(request, budget=deadline - time.monotonic())
                if not isinstance(value, Reusable):
                    return Reusable(self.to_body(value))
                if self.is_checked_again and value.body is not None:
                    return replace(value, body=self.guard.body(value.body, self.name))
                return value

    def to_body(self, value: Any) -> bytes:
        return to_bytes(self.shape(value, self.enabled.handler.name), self.name, self.max_answer_bytes)

    async def give_instead(self, error: VendordataError, place: Place | None) -> Answer:
        found = self.open(await self.cache.get(place.key), place) if place and self.looks_back else None
        if found and self.may_stand_in(found, error):
            self.note(OnError.STALE, error)
            return Answer(found.body, source="stale")
        if self.enabled.on_error is not OnError.EMPTY or isinstance(error, PinsUnavailable):
            raise error
        self.note(OnError.EMPTY, error)
        return Answer(NOTHING, source="empty")

    def note(self, mode: OnError, error: VendordataError) -> None:
        self.instead[mode] += 1
        LOG.warning("handler %s: %s instead of its answer (%s)", self.name, mode.value, error.code)

    def open(self, kept: Kept | None, place: Place) -> Found | None:
        """Take apart what the cache has; None when it is nothing of this handler's."""
        if kept is None:
            return None
        matches, rest = kept.body.startswith(place.mark), kept.body[len(place.mark) :]
        if not self.own_lifetimes:
            return Found(rest, kept.age, SILENT, matches)
        parts = unpack(rest)
        return parts and Found(parts[1], kept.age, parts[0], matches)

    def usable(self, found: Found | None, request: VendordataRequest, place: Place) -> Answer | None:
        """Give an answer from the cache if nobody has to wait for a newer one."""
        if found is None or not found.matches:
            return None
        left = self.fresh_for(found)
        if left > 0:
            return self.shown(found, "cache")
        if left + found.lifetime.stale_while_revalidate <= 0 or found.kept_for >= self.enabled.cache_limit:
            return None
        deadline = time.monotonic() + self.enabled.timeout
        self.refreshes.begin(place.asked, lambda: self.make_and_keep(request, place, found, deadline))
        return Answer(found.body, source="cache")

    def fresh_for(self, found: Found) -> float:
        """Give the seconds that are left; how old an answer came counts only against what its source says."""
        if found.lifetime.fresh_for is None:
            return self.enabled.cache_for - found.kept_for
        return min(found.lifetime.fresh_for - found.age, self.enabled.cache_limit - found.kept_for)

    def shown(self, found: Found, source: str = "run") -> Answer:
        left = self.fresh_for(found)
        return Answer(found.body, left if left > 0 else None, source)

    def is_worth_keeping(self, lifetime: Lifetime) -> bool:
        if not lifetime.storable:
            return False
        said_so = lifetime.fresh_for is not None and lifetime.useful
        return said_so or self.enabled.cache_for > 0 or self.enabled.on_error is OnError.STALE

    def may_stand_in(self, found: Found, error: VendordataError) -> bool:
        if found.lifetime.must_revalidate:
            return False
        if self.enabled.on_error is OnError.STALE:
            return True
        if not (found.matches and found.lifetime.stale_if_error) or isinstance(error, UpstreamRefused):
            return False
        fresh_for = self.enabled.cache_for if found.lifetime.fresh_for is None else found.lifetime.fresh_for
        return found.age < fresh_for + found.lifetime.stale_if_error

    def place_of(self, request: VendordataRequest) -> Place:
        """Say where the answer is kept: under what was asked, or, to be found when it is stale, under its instance."""
        asked = self.prefix + request.canonical() + self.who_asks(request)
        mark = hashlib.sha256(asked).digest()
        if self.enabled.on_error is not OnError.STALE:
            return Place(mark)
        # A proxy may take the place of a handler, and what is kept for one says nothing to the other.
        kind = "\0own lifetimes" if self.own_lifetimes else ""
        owner = f"{self.name}\0{request.instance_id}{kind}".encode() + self.who_asks(request)
        return Place(hashlib.sha256(owner).digest(), mark)

    def who_asks(self, request: VendordataRequest) -> bytes:
        if not self.enabled.handler.per_caller or request.caller is None:
            return b""
        caller = request.caller
        return repr((caller.user_id, caller.project_id, sorted(caller.roles))).encode()

    def state(self) -> dict[str, Any]:
        """Say how the handler does, for ``/-/ready``."""
        return {
            "state": "circuit_open" if self.limiter.resting else "ok",
            **self.enabled.handler.state(),
            **{mode.value: count for mode, count in self.instead.items()},
        }
