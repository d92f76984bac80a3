"""The whole server in this process, asked as Nova asks it: real checks, pins, caches and failure modes, no socket."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio.from_thread import BlockingPortal, start_blocking_portal
from typing_extensions import Unpack

from vendorsrv.cache.answers import Cache
from vendorsrv.database.url import async_url
from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler
from vendorsrv.handlers.registry import find
from vendorsrv.server.app import Application
from vendorsrv.settings import Settings
from vendorsrv.testing.answers import Answer, request
from vendorsrv.testing.bodies import Members, nova_body
from vendorsrv.testing.given import naming
from vendorsrv.testing.keystone import FakeKeystone
from vendorsrv.testing.listening import listening
from vendorsrv.testing.stores import StoreSwitch, SwitchedCache

if TYPE_CHECKING:
    from vendorsrv.pins.service import PinService

#: What Nova sends with every call (``DynamicVendorData``), but for its token.
HEADERS: Final = {
    "User-Agent": "openstack-nova-vendordata",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
#: Nova asks once for each version of the metadata that a config drive holds.
CONFIG_DRIVE: Final = 6

#: By name; None is left out, and a list is a line for each of its values.
Options = Mapping[str, object]


class Switched(Application):
    """The application with a switch at its cache and one at its pins."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.cache_switch, self.pins_switch = StoreSwitch(), StoreSwitch()
        super().__init__(settings, clock)

    def open_cache(self, settings: Settings, clock: Callable[[], float]) -> Cache:
        """Give the cache that is configured, behind its switch."""
        return SwitchedCache(super().open_cache(settings, clock), self.cache_switch)

    def open_pins(self, settings: Settings) -> PinService:
        """Give the pins that are configured, behind their switch."""
        # As the application does: SQLAlchemy is for those who pin.
        from vendorsrv.pins.service import STATEMENT_TIMEOUT, PinService
        from vendorsrv.testing.pin_store import SwitchedDatabase, SwitchedPinStore

        database = SwitchedDatabase(async_url(settings.database), STATEMENT_TIMEOUT, self.pins_switch)
        return PinService(settings, SwitchedPinStore(database), self.metrics)


class Server:
    """A server that runs; :func:`serve` makes one.

    :ivar handlers: the names of what it serves.
    :ivar keystone: who validates its tokens.
    :ivar token: Nova's.
    :ivar pins: turns the store of pins off, and on again.
    :ivar cache: the same for the cache.
    """

    def __init__(self, app: Switched, portal: BlockingPortal, keystone: FakeKeystone, stack: ExitStack) -> None:
        self.app = app
        self.portal = portal
        self.stack = stack
        self.handlers = list(app.registry.handlers)
        self.keystone = keystone
        self.token = keystone.issue("service", "admin")
        self.pins = app.pins_switch
        self.cache = app.cache_switch

    @cached_property
    def url(self) -> str:
        """Where it listens, from the first time that somebody wants to know: for what asks over HTTP."""
        return self.stack.enter_context(listening(self.app, self.portal))

    def ask(
        self,
        path: str | None = None,
        *,
        token: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Unpack[Members],
    ) -> Answer:
        """Post what Nova posts, and wait for the answer.

        :param path: a handler's name, ``/`` for all of them or ``/cloud-init``; the only handler's name by default.
        :param token: whose token, Nova's by default; the empty one counts as none.
        :param body: what is sent instead of a :func:`vendorsrv.testing.nova_body`.
        :param headers: further ones, or replaced ones.
        :param members: what that body says of the instance, e.g. ``boot_roles="member,mail-admin"``.
        :raises ValueError: there are several handlers, and none is named.
        """
        content = nova_body(**members) if body is None else body
        sent = {**HEADERS, "X-Auth-Token": self.token if token is None else token, **(headers or {})}
        return self.portal.call(request, self.app, "POST", self.path(path), sent, content)

    def config_drive(self, path: str | None = None, **members: Unpack[Members]) -> list[Answer]:
        """Ask as Nova does for one config drive: six times, one after the other."""
        return [self.ask(path, **members) for _ in range(CONFIG_DRIVE)]

    def ask_at_once(self, bodies: Sequence[bytes], path: str | None = None) -> list[Answer]:
        """Post some bodies at the same time, as several hosts of Nova's do."""
        headers = {**HEADERS, "X-Auth-Token": self.token}
        where = self.path(path)
        asked = [self.portal.start_task_soon(request, self.app, "POST", where, headers, body) for body in bodies]
        return [each.result() for each in asked]

    def get(self, path: str) -> Answer:
        """Ask for a public route of a handler's, or for one of the server's own, such as ``/-/ready``."""
        return self.portal.call(request, self.app, "GET", path, {}, b"")

    def path(self, path: str | None) -> str:
        """Give the path for a handler's name."""
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
) -> Iterator[Server]:
    """Run a server in this process, with an event loop in a thread of its own.

    :param handlers: classes, from wherever; or names of entry points, or ``module:Class``.
    :param options: those of the only handler, as its section has them.
    :param sections: further sections, e.g. ``{"proxy:rack": {"url": …}, "vendorsrv": {"request_timeout": 1}}``.
    :param clock: what it takes for the time that passes, for the age of answers; see
        :class:`vendorsrv.testing.ManualClock`.
    :param keystone: who validates tokens; by default the one that is open already, or else one of its own.
    :param directory: where its pins are, for a server that is to find those of the one before; by default one that
        goes with it.
    :raises ConfigError: as a real start would fail: a handler cannot be built or opened, an option is missing, ….
    """
    with ExitStack() as stack:
        if keystone is None:
            running = FakeKeystone.active[-1:]
            keystone = running[0] if running else stack.enter_context(FakeKeystone())
        folder = Path(directory or stack.enter_context(tempfile.TemporaryDirectory()))
        names = stack.enter_context(naming(handlers))
        given = {**(sections or {}), **(own_section(names, options) if options else {})}
        config = folder / "vendorsrv.conf"
        config.write_text(configuration(defaults(names, keystone, folder), given))
        app = Switched(Settings.from_file(config), clock)
        portal = stack.enter_context(start_blocking_portal())
        stack.enter_context(portal.wrap_async_context_manager(app.run_handlers(app)))
        for release in (keystone.let_go, app.pins_switch.release, app.cache_switch.release):
            stack.callback(release)
        yield Server(app, portal, keystone, stack)


def own_section(names: Sequence[str], options: Options) -> dict[str, Options]:
    if len(names) != 1:
        raise ValueError("options are for one handler; with several, give sections={'handler:<name>': …}")
    found, problems = find(names)
    if problems:
        raise ConfigError("\n".join(problems))
    return {found[0].handler.section: options}


def defaults(names: Sequence[str], keystone: FakeKeystone, folder: Path) -> dict[str, Options]:
    return {
        "vendorsrv": {
            "handlers": ",".join(names),
            "state_path": folder,
            "invalid_token_cache_time": 0,
        },
        "keystone_authtoken": {
            "auth_type": "admin_token",  # which asks nobody for it
            "endpoint": "http://keystone.invalid/v3",
            "token": keystone.own_token,
            "www_authenticate_uri": "https://keystone.example.org:5000/v3",
            "token_cache_time": 0,  # what the test revokes is revoked at once
        },
    }


def configuration(own: Mapping[str, Options], given: Mapping[str, Options]) -> str:
    """Give the text of a file; where both have an option, the second one's value."""
    merged = {name: {**own.get(name, {}), **given.get(name, {})} for name in {**own, **given}}
    return "\n".join(line for name, options in merged.items() for line in (f"[{name}]", *lines(options)))


def lines(options: Options) -> Iterator[str]:
    for name, value in options.items():
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            text = str(each).replace("$", "$$").replace("\n", "\n  ")  # as oslo.config reads them back
            yield f"{name} = {text}"
