"""The whole server in this process, called as Nova calls it: real checks, pins, caches and failure modes, no socket."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from typing_extensions import Unpack

from vendorsrv.cache.answers import Cache
from vendorsrv.database.url import async_url
from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler
from vendorsrv.handlers.periodic import states_of
from vendorsrv.handlers.registry import find
from vendorsrv.nova.client import HEADERS
from vendorsrv.server.app import Application
from vendorsrv.settings import Settings
from vendorsrv.testing.answers import LOOPBACK, Answer, request
from vendorsrv.testing.bodies import USUAL, Members, nova_body
from vendorsrv.testing.cloud import FakeCloud
from vendorsrv.testing.keystone import FakeKeystone
from vendorsrv.testing.switches import StoreSwitch, SwitchedCache

if TYPE_CHECKING:
    from vendorsrv.pins.service import PinService

#: Options by name; None leaves one out, and a list is a line for each of its values.
Options = Mapping[str, object]


class SwitchedApplication(Application):
    """The application with a switch at its cache and one at its pins."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.cache_switch, self.pins_switch = StoreSwitch(), StoreSwitch()
        super().__init__(settings, clock)

    def open_cache(self, settings: Settings, clock: Callable[[], float]) -> Cache:
        """Return the configured cache behind its switch."""
        return SwitchedCache(super().open_cache(settings, clock), self.cache_switch)

    def open_pins(self, settings: Settings) -> PinService:
        """Return the configured pins behind their switch."""
        # As in the application: only a server that pins imports SQLAlchemy.
        from vendorsrv.pins.service import STATEMENT_TIMEOUT, PinService
        from vendorsrv.testing.pin_store import SwitchedDatabase, SwitchedPinStore

        database = SwitchedDatabase(async_url(settings.database), STATEMENT_TIMEOUT, self.pins_switch)
        return PinService(settings, SwitchedPinStore(database), self.metrics)


class Server:
    """A running server; see :func:`serve`.

    :ivar handlers: the names of its handlers.
    :ivar keystone: validates its tokens.
    :ivar cloud: has the facts of its instances; it does not run without ``facts``.
    :ivar token: Nova's token.
    :ivar pins: the switch of the pin store.
    :ivar cache: the switch of the cache.
    """

    def __init__(
        self,
        app: SwitchedApplication,
        portal: BlockingPortal,
        keystone: FakeKeystone,
        stack: ExitStack,
        cloud: FakeCloud | None = None,
    ) -> None:
        self.app = app
        self.portal = portal
        self.stack = stack
        self.handlers = list(app.registry.handlers)
        self.keystone = keystone
        self.cloud = cloud or FakeCloud()
        self.token = keystone.issue("service", "admin")
        self.pins = app.pins_switch
        self.cache = app.cache_switch

    @cached_property
    def url(self) -> str:
        """The URL for clients that use HTTP; the server listens from the first use of this property."""
        # The lifespan runs already.
        config = uvicorn.Config(
            self.app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False
        )
        server = uvicorn.Server(config)
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # clients may connect at once
        serving = self.portal.start_task_soon(server.serve, [listener])

        def stop() -> None:
            server.should_exit = True
            serving.result()
            for each in server.servers:  # which uvicorn leaves open if it was still starting
                self.portal.call(each.close)

        self.stack.callback(stop)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def ask(
        self,
        path: str | None = None,
        *,
        token: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        peer: str = LOOPBACK,
        **members: Unpack[Members],
    ) -> Answer:
        """Post a request as Nova does, and return the answer.

        :param path: a handler's name, ``/`` for all handlers, or ``/cloud-init``; by default the only handler's name.
        :param token: Nova's by default; an empty one is as good as none.
        :param body: replaces the :func:`vendorsrv.testing.nova_body`.
        :param headers: more headers, or replaced ones.
        :param peer: the address from which the request comes.
        :param members: members of that body, e.g. ``boot_roles="member,mail-admin"``.
        :raises ValueError: there are several handlers, and none is named.
        """
        content = nova_body(**members) if body is None else body
        sent = {**HEADERS, "X-Auth-Token": self.token if token is None else token, **(headers or {})}
        call = partial(request, self.app, "POST", self.path(path), sent, content, peer=peer)
        return self.portal.call(call)

    def config_drive(self, path: str | None = None, **members: Unpack[Members]) -> list[Answer]:
        """Post the six requests that Nova makes for one config drive, one for each version of its metadata."""
        return [self.ask(path, **members) for _ in range(6)]

    def ask_at_once(self, bodies: Sequence[bytes], path: str | None = None) -> list[Answer]:
        """Post several bodies at the same time, as several compute hosts do."""
        call = partial(request, self.app, "POST", self.path(path), {**HEADERS, "X-Auth-Token": self.token})
        asked = [self.portal.start_task_soon(call, body) for body in bodies]
        return [each.result() for each in asked]

    def get(self, path: str, *, admin: bool = False) -> Answer:
        """Request a public route of a handler, or of the server, such as ``/-/ready``.

        :param admin: ask the address of the server's own pages, such as ``/-/metrics``.
        """
        return self.portal.call(request, self.app.admin if admin else self.app, "GET", path, {}, b"")

    def run_jobs(self) -> dict[str, dict[str, str]]:
        """Call each method that handlers gave to ``every`` now, whichever worker's turn it is.

        :returns: by handler and method how that ended: ``ok`` or ``failing``.
        """
        for job in self.app.periodic:
            self.portal.call(job.call)
        return states_of(self.app.periodic)

    def delete(self, instance_id: str = USUAL["instance-id"], project_id: str | None = None) -> dict[str, str]:
        """Let an instance be gone, as when Nova says so: call each handler's ``deleted``, and forget the instance.

        What failed before is tried again at once. From now on a request for the instance is 410.

        :returns: by handler how its call ended: ``ok``, ``failed``, or ``later`` while it runs for the instance. A
            handler whose call was ``ok`` before is not among them.
        """
        from vendorsrv.testing.deletions import delete

        return self.portal.call(delete, self.app, instance_id, project_id)

    def path(self, path: str | None) -> str:
        """Return the path for a handler's name."""
        if path is None and len(self.handlers) != 1:
            raise ValueError(f"which handler? there are: {', '.join(self.handlers)}")
        return "/" + (self.handlers[0] if path is None else path).removeprefix("/")


@contextmanager
def serve(
    *handlers: type[Handler] | str,
    options: Options | None = None,
    sections: Mapping[str, Options] | None = None,
    clock: Callable[[], float] = time.monotonic,
    keystone: FakeKeystone | None = None,
    directory: str | Path | None = None,
    facts: FakeCloud | Mapping[str, Mapping[str, object] | None] | None = None,
) -> Iterator[Server]:
    """Run a server in this process, with an event loop in a thread of its own.

    :param handlers: classes, names of entry points, or ``module:Class``.
    :param options: the options of the only handler.
    :param sections: more sections, e.g. ``{"proxy:rack": {"url": …}, "vendorsrv": {"request_timeout": 1}}``.
    :param clock: measures the age of answers and of failures; see :class:`vendorsrv.testing.ManualClock`.
    :param keystone: validates the tokens; by default the one that is open already, or a new one.
    :param directory: of the pins, for a server that is to find those of the server before; by default a temporary one.
    :param facts: what a :class:`vendorsrv.testing.FakeCloud` knows of each instance, or one that runs already.
    :raises ConfigError: a real server would not start: a handler cannot be opened, a required option is not set, ….
    """
    with ExitStack() as stack:
        if keystone is None:
            running = FakeKeystone.active[-1:]
            keystone = running[0] if running else stack.enter_context(FakeKeystone())
        cloud = facts if facts is None or isinstance(facts, FakeCloud) else stack.enter_context(FakeCloud(facts))
        folder = Path(directory or stack.enter_context(tempfile.TemporaryDirectory()))
        names = stack.enter_context(naming(handlers))
        given = {**(sections or {}), **(own_section(names, options) if options else {})}
        config = folder / "vendorsrv.conf"
        config.write_text(configuration(defaults(names, keystone, folder, cloud), given))
        app = SwitchedApplication(Settings.from_file(config), clock)
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(app.run_handlers(app)))
        for release in (keystone.let_go, app.pins_switch.release, app.cache_switch.release):
            stack.callback(release)
        yield Server(app, portal, keystone, stack, cloud)


@contextmanager
def naming(handlers: Sequence[type[Handler] | str]) -> Iterator[list[str]]:
    """Yield the name of each handler for ``[vendorsrv] handlers``: ``module:Class`` for a class, a name as it is.

    The classes may be defined anywhere, also in a function: they are attributes of a module that exists as long as the
    context does.
    """
    module = ModuleType(f"vendorsrv_testing_{uuid.uuid4().hex}")
    names = []
    for number, handler in enumerate(handlers):
        if isinstance(handler, str):
            names.append(handler)
        else:
            name = f"{handler.__name__}_{number}"
            setattr(module, name, handler)
            names.append(f"{module.__name__}:{name}")
    sys.modules[module.__name__] = module
    try:
        yield names
    finally:
        del sys.modules[module.__name__]


def own_section(names: Sequence[str], options: Options) -> dict[str, Options]:
    if len(names) != 1:
        raise ValueError("options are for one handler; with several, give sections={'handler:<name>': …}")
    found, problems = find(names)
    if problems:
        raise ConfigError("\n".join(problems))
    return {found[0].handler.section: options}


def defaults(names: Sequence[str], keystone: FakeKeystone, folder: Path, cloud: FakeCloud | None) -> dict[str, Options]:
    return {
        "vendorsrv": {"handlers": ",".join(names), "state_path": folder, "invalid_token_cache_time": 0},
        "keystone_authtoken": {
            "auth_type": "admin_token",  # which asks nobody for it
            "endpoint": "http://keystone.invalid/v3",
            "token": keystone.own_token,
            "www_authenticate_uri": "https://keystone.example.org:5000/v3",
            "token_cache_time": 0,  # what the test revokes is revoked at once
        },
        "service_account": cloud.options if cloud else {},
    }


def configuration(own: Mapping[str, Options], given: Mapping[str, Options]) -> str:
    """Return the text of a configuration file; ``given`` overrides ``own``."""
    merged = {name: {**own.get(name, {}), **given.get(name, {})} for name in {**own, **given}}
    return "\n".join(line for name, options in merged.items() for line in (f"[{name}]", *lines(options)))


def lines(options: Options) -> Iterator[str]:
    for name, value in options.items():
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            text = str(each).replace("$", "$$").replace("\n", "\n  ")  # as oslo.config reads them back
            yield f"{name} = {text}"
