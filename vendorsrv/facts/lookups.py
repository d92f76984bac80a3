"""The facts of instances: looked up once for all who want them, side by side, and kept for some seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from pydantic import ValidationError

from vendorsrv.auth.account import Account
from vendorsrv.concurrency import SingleFlight, mark_retrieved
from vendorsrv.errors import ConfigError, FactsRefused, FactsUnavailable, Forbidden
from vendorsrv.facts.client import SOURCES, Client, FactMissing, unreadable
from vendorsrv.facts.options import GROUP, find_problems
from vendorsrv.instance import FACTS, Fact, Facts, Server
from vendorsrv.request import VendordataRequest
from vendorsrv.settings import Settings
from vendorsrv.telemetry.metrics import Metrics, Operation

LOG = logging.getLogger(__name__)

KEPT: Final = 16_384
#: Seconds by which waiting ends before the request's deadline, so that the error names the service.
MARGIN: Final = 0.05
#: Why an instance is refused.
ELSEWHERE: Final = "Nova knows no such instance in the project that the request names"
GONE: Final = "the instance is deleted"

#: The name of a fact, the instance's project, and the id at the service.
Key = tuple[str, str | None, str | None]
#: The attribute of a request that has a fact's id.
IDENTIFIERS: Final = {"server": "instance_id", "image": "image_id", "project": "project_id"}


class Lookups:
    """Looks up facts; one for each worker.

    :param clock: seconds that only go forward, for how long facts are kept.
    :raises ConfigError: ``[service_account]`` or ``[facts]`` cannot work; names each option.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, metrics: Metrics | None = None
    ) -> None:
        if problems := find_problems(settings.conf):
            raise ConfigError("\n".join(map(str, problems)))
        options = settings.conf[GROUP]
        self.account = Account(settings.conf, own_scope=options.scope == "admin")
        self.concurrency = options.concurrency
        self.timeout = settings.request_timeout
        self.keep_for, self.clock = options.keep_for, clock
        # With the time until which each is kept, in its order. A TTLCache takes 1 to 3 µs for each fact of a request.
        self.kept: dict[Key, tuple[Fact, float]] = {}
        self.single_flight: SingleFlight[Fact] = SingleFlight()
        metrics = metrics or Metrics()
        self.refused = metrics.counter("vendorsrv_instances_refused_total")
        self.lookups = {fact: operation(metrics, fact) for fact in SOURCES}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold the connections to the services."""
        self.client = Client(self.account, self.concurrency, self.timeout)
        try:
            yield
        finally:
            await self.client.close()

    async def get(
        self, request: VendordataRequest, needs: Mapping[str, bool], deadline: float, *, verify: bool = False
    ) -> Facts:
        """Return facts of an instance.

        :param needs: their names, and whether each is required; one that is not is None when it cannot be had.
        :param deadline: on the monotonic clock.
        :param verify: whether the instance must exist, in the project that the request names; needs the server.
        :raises FactsUnavailable: a required one cannot be had; names the service.
        :raises Forbidden: the instance does not exist there.
        """
        known: dict[str, Fact | None] = {}
        tasks: dict[str, asyncio.Task[Fact | None]] = {}
        now = self.clock()
        for name in needs:
            key = (name, request.project_id, getattr(request, IDENTIFIERS[name]))
            kept = self.kept.get(key)
            if kept and now < kept[1]:
                known[name] = kept[0]
            elif name == "image" and not request.image_id:  # it was booted from a volume
                known[name] = None
            else:
                tasks[name] = asyncio.create_task(self.find(key, deadline, needs[name]))
                tasks[name].add_done_callback(mark_retrieved)  # of several errors, one is raised
        if verify:
            known["server"] = await self.verified(request, known.get("server") or tasks.pop("server"))
        for name, task in tasks.items():
            known[name] = await task
        return Facts(**known)

    async def verified(self, request: VendordataRequest, server: Any) -> Server:
        """Return the server that a request is about, or that a task looks up."""
        reason = ELSEWHERE
        with suppress(FactMissing):
            found: Server = await server if isinstance(server, asyncio.Task) else server
            if found.project_id == request.project_id:
                if found.status != "DELETED":
                    return found
                reason = GONE
        self.refused.inc()
        LOG.warning("instance %s is refused: %s", request.instance_id, reason)
        raise Forbidden(reason)

    async def find(self, key: Key, deadline: float, required: bool) -> Fact | None:
        seconds = deadline - MARGIN - time.monotonic()
        service = SOURCES[key[0]].service
        try:
            try:
                return await self.single_flight.run(key, lambda: self.look_up(key), seconds)
            except TimeoutError:
                raise FactsUnavailable(f"{service} did not answer in time") from None
        except FactsUnavailable as error:
            if required:
                raise
            LOG.info("an optional fact is not available: %s", error.message)
            return None

    async def look_up(self, key: Key) -> Fact:
        name, project_id, identifier = key
        with self.lookups[name].measure():
            if not identifier or (project_id is None and not self.account.own_scope):
                raise FactMissing("Nova does not say of which project the instance is")
            found = await self.client.get(name, identifier, project_id)
            try:
                fact = FACTS[name].model_validate(found)
            except ValidationError as error:
                LOG.error("%s: %s", SOURCES[name].service, error.errors(include_url=False, include_input=False)[0])
                raise unreadable(SOURCES[name].service) from None
        self.keep(key, fact)
        return fact

    def keep(self, key: Key, fact: Fact) -> None:
        """Keep a fact, and forget those that are too old or too many."""
        now = self.clock()
        self.kept.pop(key, None)
        while self.kept and (len(self.kept) >= KEPT or next(iter(self.kept.values()))[1] <= now):
            del self.kept[next(iter(self.kept))]
        self.kept[key] = fact, now + self.keep_for


def operation(metrics: Metrics, fact: str) -> Operation:
    outcomes = {None: "ok", FactMissing: "missing", FactsRefused: "refused", BaseException: "failed"}
    counters = {kind: metrics.counter("vendorsrv_fact_lookups_total", fact, each) for kind, each in outcomes.items()}
    return Operation(counters, metrics.histogram("vendorsrv_fact_lookup_duration_seconds", fact))
