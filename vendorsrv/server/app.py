"""The FastAPI application: lifespan, the health routes, and the handlers' way past its routing."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from vendorsrv.auth.account import is_set
from vendorsrv.auth.policy import Policy
from vendorsrv.auth.tokens import Authenticator
from vendorsrv.cache.answers import Cache, build_cache
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.errors import ConfigError, ServiceUnavailable, VendordataError
from vendorsrv.handlers.clients import Clients
from vendorsrv.handlers.periodic import Periodic, states_of, supervised
from vendorsrv.handlers.registry import EnabledHandler, Registry
from vendorsrv.handlers.responder import Responder
from vendorsrv.handlers.roles import roles_of
from vendorsrv.lifecycle.options import read_options
from vendorsrv.peers.addresses import Networks
from vendorsrv.peers.connections import OPTION, Connections, limit_connections
from vendorsrv.proxy.handler import Proxy
from vendorsrv.server.admin import Admin
from vendorsrv.server.endpoint import Endpoint
from vendorsrv.server.openapi import add_handlers
from vendorsrv.server.pipeline import CLOUD_INIT, Pipeline
from vendorsrv.server.public import add_public_routes, public_paths
from vendorsrv.server.renderers import RENDERERS
from vendorsrv.settings import CONFIG_FILE_VARIABLE, METRICS_VARIABLE, STARTUP_FAILURE, Settings
from vendorsrv.telemetry.logs import set_up_logging
from vendorsrv.telemetry.metrics import HandlerMetrics, Metrics, RequestMetrics
from vendorsrv.telemetry.watchdog import Watchdog

if TYPE_CHECKING:
    from vendorsrv.facts.lookups import Lookups
    from vendorsrv.lifecycle.memory import Memory
    from vendorsrv.pins.pin import Pins
    from vendorsrv.pins.service import PinService

T = TypeVar("T", bound=Responder)
LOG = logging.getLogger(__name__)
#: Where OpenStack's services have their health (oslo.middleware), and their load balancers ask.
HEALTHCHECK: Final = "/healthcheck"


class Application(FastAPI):
    """The whole server as one ASGI application; :func:`create_app` builds it.

    :ivar admin: the application of the server's own pages, which only ``admin_host`` and ``admin_port`` serve.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            title="vendorsrv",
            version=version("vendorsrv"),
            description="Dynamic vendordata for OpenStack Nova.",
            docs_url=None,
            redoc_url=None,
            openapi_url=None,  # it is on the address of the server's own pages
            redirect_slashes=False,  # Nova would follow, with body and token
            lifespan=self.run_handlers,
            exception_handlers={**RENDERERS},
        )
        self.settings = settings
        self.registry = Registry(settings)
        self.periodic: list[Periodic] = []
        self.metrics = Metrics()
        self.connections = self.new_connections(settings)
        self.authenticator = Authenticator(settings, metrics=self.metrics)
        handlers = self.registry.handlers.values()
        self.pin_service, self.memory = self.open_database(settings)
        self.cache = self.open_cache(settings, clock)
        self.lookups = self.open_lookups(clock)
        self.guard = Guard(settings.include_hosts)
        self.max_answer_bytes = settings.max_answer_bytes
        self.roles = {each.name: roles_of(each, partial(self.responder, clock)) for each in handlers}
        self.responders = {name: each.own for name, each in self.roles.items()}
        self.policy = Policy(settings.conf, list(self.registry.handlers), has_account=self.lookups is not None)
        pipeline = Pipeline(
            settings,
            self.authenticator,
            self.policy,
            responders=self.responders,
            contributors={name: each.contributor for name, each in self.roles.items() if each.contributor},
            guard=self.guard,
            lookups=self.lookups,
        )
        paths = ["/", f"/{CLOUD_INIT}", *(f"/{name}" for name in self.responders)]
        paths += [path for each in handlers for path, _ in public_paths(each)]
        self.endpoint = Endpoint(pipeline, settings, self.authenticator.challenge, RequestMetrics(self.metrics, paths))
        self.is_open = False
        #: What the server shares with us: ``draining`` when it has to stop, and ourselves as ``application``.
        self.server_state: dict[str, object] = {}
        self.disabling_file = settings.disable_by_file_path
        self.admin = Admin(self.metrics, self.openapi, partial(self.endpoint.forward, own=True), RENDERERS)
        for server in (self, self.admin):
            self.add_health_routes(server)
        for enabled in handlers:
            add_public_routes(self, enabled, self.max_answer_bytes)
            if isinstance(enabled.handler, Proxy):
                enabled.handler.measure(self.metrics)

    def new_connections(self, settings: Settings) -> Connections:
        return Connections(
            limit_connections(settings.max_connections),
            settings.max_connections_per_peer,
            Networks(settings.trusted_proxies),
            {limit: self.metrics.counter("vendorsrv_connections_refused_total", limit) for limit in OPTION},
        )

    def open_cache(self, settings: Settings, clock: Callable[[], float]) -> Cache:
        return build_cache(settings.conf, settings.cache_max_bytes, clock, self.metrics, settings.encryption_keys)

    def open_database(self, settings: Settings) -> tuple[PinService | None, Memory | None]:
        if not any(each.pin or each.deletion for each in self.registry.handlers.values()):
            return None, None
        from vendorsrv.lifecycle.memory import Memory

        pins, options = self.open_pins(settings), read_options(settings.conf)
        return pins, Memory(pins.store.database, options.remember_for, listens=bool(options.transport_url))

    def open_pins(self, settings: Settings) -> PinService:
        # SQLAlchemy takes half as long to import as all the rest: only who pins shall wait for it.
        from vendorsrv.pins.service import PinService

        return PinService(settings, metrics=self.metrics)

    def open_lookups(self, clock: Callable[[], float]) -> Lookups | None:
        # With the account, policy.yaml may name facts at any time.
        if not (is_set(self.settings.conf) or any(each.needs for each in self.registry.handlers.values())):
            return None
        from vendorsrv.facts.lookups import Lookups

        return Lookups(self.settings, clock, self.metrics)

    def responder(
        self, clock: Callable[[], float], role: type[T], enabled: EnabledHandler, preparation: Responder | None
    ) -> T:
        pins = self.pin_service.pins if self.pin_service and enabled.pin else None
        if enabled.handler.clients is None:
            account = self.lookups.account if self.lookups else None
            enabled.handler.clients = Clients(enabled.handler.name, self.metrics, account)
        enabled.handler.forget_pins = partial(pins.forget, handler=enabled.handler.name) if pins else None
        metrics = HandlerMetrics(self.metrics, enabled.name)
        return role(
            *(enabled, self.cache, pins, self.max_answer_bytes, clock),
            guard=self.guard,
            metrics=metrics,
            preparation=preparation,
            lookups=self.lookups,
            check_deleted=self.memory.check_for(enabled) if self.memory else None,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route ``/`` and ``/{handler}`` to the endpoint, everything else to FastAPI; no handler is a healthcheck."""
        if scope["type"] == "lifespan":
            self.server_state = scope.get("state", {})
            self.server_state["application"] = self
            await self.lifespan_without_traceback(scope, receive, send)
        elif scope["type"] == "http":
            path = scope["path"]
            if path.find("/", 1) == -1 and path != HEALTHCHECK:
                await self.endpoint(scope, receive, send)
            else:
                own = path == HEALTHCHECK or path.startswith("/-/")
                await self.endpoint.forward(super().__call__, scope, receive, send, own=own)
        else:
            await super().__call__(scope, receive, send)  # refuses WebSockets

    async def lifespan_without_traceback(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_traceback(message: Message) -> None:
            await send({"type": message["type"]})

        try:
            await super().__call__(scope, receive, send_without_traceback)
        except ConfigError as error:
            LOG.critical("%s", error)

    @asynccontextmanager
    async def run_handlers(self, _: FastAPI) -> AsyncIterator[None]:
        self.watchdog = Watchdog(self.metrics)
        handlers = [each.handler for each in self.registry.handlers.values()]
        async with (
            self.pin_service.opened() if self.pin_service else nullcontext(),
            self.lookups.opened() if self.lookups else nullcontext(),
            self.registry.opened(),
            supervised(handlers, self.pins_for_jobs) as self.periodic,
        ):
            self.is_open = True
            # Discovery, our own token and a validation cost the first request up to a second otherwise.
            warm_up = asyncio.create_task(self.warm_up())
            self.watchdog.start()
            try:
                yield
            finally:
                self.is_open = False
                self.watchdog.stop()
                warm_up.cancel()
                self.cache.close()

    @asynccontextmanager
    async def pins_for_jobs(self) -> AsyncIterator[Pins]:
        if self.pin_service:
            yield self.pin_service.pins
            return
        async with (service := self.open_pins(self.settings)).opened():
            yield service.pins

    async def warm_up(self) -> None:
        try:
            await self.authenticator.check_ready()
        except VendordataError as error:
            LOG.warning("not ready yet: %s", error.message)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of the address that Nova calls, with the handlers."""
        if not self.openapi_schema:
            add_handlers(super().openapi(), self.registry.handlers.values())
        assert self.openapi_schema is not None
        return self.openapi_schema

    def add_health_routes(self, server: FastAPI) -> None:
        for path, answer, summary in (
            ("/-/live", self.live, "The process runs"),
            ("/-/ready", self.ready, "Requests can be answered"),
            (HEALTHCHECK, self.ready, "The same as /-/ready"),
        ):
            # Without a model: to make one, FastAPI imports all of pydantic.v1 (50 ms).
            server.add_api_route(path, answer, tags=["server"], summary=summary, response_model=None)
            # What some load balancers probe with; OpenAPI would count it as the same operation.
            server.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False, response_model=None)

    async def live(self) -> dict[str, bool]:
        return {"live": True}

    async def ready(self) -> dict[str, Any]:
        if not self.is_open:
            raise ServiceUnavailable("the handlers are not open")
        self.check_in_service()
        self.policy.check_ready()
        await self.authenticator.check_ready()
        if self.pin_service:
            await self.pin_service.check()
        handlers = {role.name: role.state() for roles in self.roles.values() for role in roles if role}
        for name, jobs in states_of(self.periodic).items():
            handlers[name]["every"] = jobs
        for responder in self.responders.values():
            state = handlers[responder.name]
            if responder.enabled.required_for_ready and state.get("ready") is False:
                reason = f": {state['message']}" if "message" in state else ""
                raise ServiceUnavailable(f"handler {responder.name} is not ready{reason}")
        pins = "reachable" if self.pin_service else "not needed"
        return {"ready": True, "keystone": "reachable", "pins": pins, "handlers": handlers}

    def check_in_service(self) -> None:
        if self.server_state.get("draining"):
            raise ServiceUnavailable("the server is draining before it stops")
        if self.disabling_file and os.path.exists(self.disabling_file):
            raise ServiceUnavailable("the server is disabled by the file of disable_by_file_path")


def create_app(settings: Settings, clock: Callable[[], float] = time.monotonic) -> Application:
    """Build the server's ASGI application.

    :param clock: seconds that only go forward: for the age of answers, and for circuit breakers.
    :raises ConfigError: ``[keystone_authtoken]`` is incomplete, a handler cannot be loaded or built, or the policy
        is broken. Keystone itself is not needed yet.
    """
    return Application(settings, clock)


def from_environment() -> Application:
    """Build the application of a worker from the file that ``serve`` was given.

    :raises SystemExit: the configuration became unusable; the reason is logged.
    """
    try:
        settings = Settings.from_file(os.environ[CONFIG_FILE_VARIABLE].split("\n"))
        set_up_logging(settings.conf)
        application = create_app(settings)
        if directory := os.environ.get(METRICS_VARIABLE):
            application.metrics.share(directory)
        return application
    except ConfigError as error:
        LOG.critical("%s", error)
        sys.exit(STARTUP_FAILURE)
