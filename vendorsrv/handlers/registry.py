"""Finds the enabled handlers, refuses clashes, and builds and opens the handlers."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from oslo_config import cfg

from vendorsrv.declarations import (
    CLOUD_INIT_SUFFIX,
    COMMON_OPTIONS,
    PREPARE_SUFFIX,
    STORAGE,
    WELL_KNOWN,
    OnError,
    is_pinned,
    storage_contradictions,
)
from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler, defines_cloud_init, defines_deleted, defines_handle, defines_prepare
from vendorsrv.handlers.runner import Runner
from vendorsrv.handlers.vendor_code import close, open_handler, secrets_of, vendor_code
from vendorsrv.instance import required
from vendorsrv.proxy.handler import Proxy, find_proxies
from vendorsrv.proxy.options import find_proxy_problems
from vendorsrv.settings import Problem, Settings, read_handler
from vendorsrv.suggest import did_you_mean_or_list

ENTRY_POINTS: Final = "vendorsrv.handlers"

DECLARED: Final = tuple(option.dest for option in COMMON_OPTIONS)


@dataclass(frozen=True, slots=True)
class FoundHandler:
    """A handler class and its source: a distribution's name and version, or ``module:Class``."""

    handler: type[Handler]
    source: str


@dataclass(frozen=True, slots=True)
class EnabledHandler:
    """A handler as it is served: the declarations of its class, with the operator's overrides.

    :ivar source: the distribution or the module that provides it.
    :ivar cache_limit: the most seconds for which an answer is reused: ``cache_for``, but unlimited for a proxy
        without one, whose upstream's ``max-age`` decides.
    :ivar version: the version of its answers; the source unless the class declares one.
    :ivar runner: calls its ``handle``, or ``cloud_init``.
    :ivar cloud_init: the same handler as it contributes to ``/cloud-init``, or None.
    :ivar preparation: the same handler as it prepares, or None.
    :ivar deletion: calls its ``deleted``; None if it has none.
    :ivar suffix: follows the handler's name in :attr:`name`, where it contributes to ``/cloud-init`` or prepares.
    :ivar routes: the runners of its public GET routes, by path below ``/<name>/``.
    """

    handler: Handler
    source: str
    version: str
    timeout: float
    threads: int
    cache_for: float
    cache_limit: float
    pin: bool
    pin_for: float
    on_error: OnError
    concurrency: int
    queue: int
    for_cloud_init: bool
    verify: bool
    required_for_ready: bool
    runner: Runner
    routes: Mapping[str, Runner]
    cloud_init: EnabledHandler | None = None
    preparation: EnabledHandler | None = None
    deletion: Runner | None = None
    suffix: str = ""

    @property
    def name(self) -> str:
        """The URL segment and the suffix; answers are cached and pinned under it."""
        return f"{self.handler.name}{self.suffix}"

    @property
    def needs(self) -> dict[str, bool]:
        """The facts that a run needs, and whether each is required."""
        return {**required(self.handler.needs), **({"server": True} if self.verify else {})}

    @property
    def runs_in(self) -> str:
        """Where the handler runs: ``event loop`` or ``thread``."""
        return "event loop" if inspect.iscoroutinefunction(self.runner.method) else "thread"


class Registry:
    """The enabled handlers, in the operator's order.

    :raises ConfigError: names each handler that cannot be found, loaded or built.
    """

    def __init__(self, settings: Settings) -> None:
        found, problems = find_enabled(settings)
        self.handlers: dict[str, EnabledHandler] = {}
        for each in found:
            try:
                self.handlers[each.handler.name] = build(settings, each)
            except ConfigError as error:
                problems.append(str(error))
        problems += find_clashes([each.handler for each in found])
        if problems:
            raise ConfigError("\n".join(problems))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open all handlers in their order, and close them in reverse.

        :raises ConfigError: a handler could not be opened; those before it are closed.
        """
        async with AsyncExitStack() as stack:
            for enabled in self.handlers.values():
                if clients := enabled.handler.clients:
                    clients.open()
                    stack.push_async_callback(clients.close)
                await open_handler(enabled.handler)
                stack.push_async_callback(close, enabled.handler)
            yield


def find(wanted: Sequence[str]) -> tuple[list[FoundHandler], list[str]]:
    """Load the classes of some handlers, without building them.

    :param wanted: names of entry points in the group ``vendorsrv.handlers``, or ``module:Class``.
    :returns: the handlers that were found, and a sentence for each that was not.
    """
    found: dict[str, FoundHandler] = {}
    problems = []
    for name in wanted:
        try:
            each = from_module(name) if ":" in name else from_entry_point(name)
        except ConfigError as error:
            problems.append(str(error))
            continue
        if not defines_handle(each.handler) and not defines_cloud_init(each.handler):
            problems.append(f"handler {each.handler.name}: class {each.handler.__name__} has no handle method")
            continue
        other = found.setdefault(each.handler.name, each)
        if other is not each:
            problems.append(f"handler {each.handler.name} is enabled twice: from {other.source} and from {each.source}")
    return list(found.values()), problems


def find_enabled(settings: Settings) -> tuple[list[FoundHandler], list[str]]:
    """Load the classes of the configured handlers, and create those of the ``[proxy:<name>]`` sections."""
    found, problems = find(settings.handlers)
    proxies, wrong = find_proxies(settings.conf)
    sources = {each.handler.name: each.source for each in found}
    for proxy in proxies:
        if source := sources.get(proxy.name):
            problems.append(f"handler {proxy.name} is enabled twice: from {source} and from [{proxy.section}]")
        else:
            found.append(FoundHandler(proxy, f"[{proxy.section}]"))
    return found, problems + wrong


def read_options(conf: cfg.ConfigOpts, handler: type[Handler]) -> tuple[Any, Mapping[str, Any], list[Problem]]:
    """Read a handler's section (:func:`vendorsrv.settings.read_handler`); check a proxy's options as well."""
    values, overrides, problems = read_handler(conf, handler)
    if issubclass(handler, Proxy):
        problems = [*problems, *find_proxy_problems(conf, handler.section, values)]
    return values, overrides, problems


def from_module(path: str) -> FoundHandler:
    module_name, _, class_name = path.partition(":")
    with vendor_code(f"handler {path}: import of {module_name}"):
        module = importlib.import_module(module_name)
    handlers = [name for name, value in vars(module).items() if is_handler(value)]
    if class_name not in handlers:
        hint = did_you_mean_or_list(class_name, handlers)
        raise ConfigError(f"handler {path}: {module_name} has no Handler {class_name!r}{hint}")
    return FoundHandler(getattr(module, class_name), path)


def from_entry_point(name: str) -> FoundHandler:
    # Not stevedore: its cache forgets the distribution, and it does not catch an AssertionError or sys.exit().
    there = entry_points(group=ENTRY_POINTS, name=name)
    if not there:
        installed = {each.name for each in entry_points(group=ENTRY_POINTS)}
        raise ConfigError(f"handler {name}: no installed package provides it{did_you_mean_or_list(name, installed)}")
    if len(there) > 1:
        packages = " and ".join(sorted(map(distribution, there)))
        raise ConfigError(f"handler {name}: more than one package provides it: {packages}")
    (entry_point,) = there
    source = distribution(entry_point)
    with vendor_code(f"handler {name}: import of {source}"):
        handler = entry_point.load()
    if not is_handler(handler):
        raise ConfigError(f"handler {name}: the entry point of {source} is not a subclass of Handler")
    if handler.name != name:
        reason = f"loads a class named {handler.name!r}; the names must be equal"
        raise ConfigError(f"handler {name}: the entry point of {source} {reason}")
    return FoundHandler(handler, source)


def build(settings: Settings, found: FoundHandler) -> EnabledHandler:
    """Build one handler with its settings.

    :raises ConfigError: an option is missing or wrong, or the class refuses its settings.
    """
    values, overrides, problems = read_options(settings.conf, found.handler)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    what = f"handler {found.handler.name}: {found.handler.__name__}()"
    with vendor_code(what, found.handler.__module__, secrets_of(found.handler, values)):
        handler = found.handler(values)
    if isinstance(handler, Proxy):
        handler.configure(settings.conf, settings.max_answer_bytes)
    declared: dict[str, Any] = {**{name: getattr(handler, name) for name in DECLARED}, **overrides}
    declared["verify"] = overrides.get("verify", handler.verify or settings.verify)
    prepares = defines_prepare(found.handler)
    if contradictions := storage_contradictions(**{name: declared[name] for name in STORAGE}, prepares=prepares):
        raise ConfigError("\n".join(f"[{handler.section}] {text}" for text in contradictions))
    declared["pin"] = is_pinned(declared["pin"], declared["pin_for"], prepares=prepares)

    def runner(method: str, suffix: str = "") -> Runner:
        limits = (declared[name] for name in ("timeout", "threads", "concurrency"))
        return Runner(f"{handler.name}{suffix}", getattr(handler, method), *limits)

    routes = {path: runner(method) for path, method in handler.routes.items()}
    version = handler.version or found.source
    unlimited = isinstance(handler, Proxy) and not declared["cache_for"] and "cache_for" not in overrides
    declared["cache_limit"] = math.inf if unlimited else declared["cache_for"]
    method = "handle" if defines_handle(found.handler) else "cloud_init"
    declared["deletion"] = runner("deleted") if defines_deleted(found.handler) else None
    enabled = EnabledHandler(handler, found.source, version, **declared, runner=runner(method), routes=routes)

    def variant(method: str, suffix: str) -> EnabledHandler:
        return limit_to_threads(replace(enabled, runner=runner(method, suffix), routes={}, suffix=suffix))

    return replace(
        limit_to_threads(enabled),
        cloud_init=variant("cloud_init", CLOUD_INIT_SUFFIX) if defines_cloud_init(found.handler) else None,
        preparation=variant("prepare", PREPARE_SUFFIX) if prepares else None,
    )


def limit_to_threads(enabled: EnabledHandler) -> EnabledHandler:
    """Lower the concurrency of a plain method to its threads."""
    if inspect.iscoroutinefunction(enabled.runner.method):
        return enabled
    return replace(enabled, concurrency=min(enabled.concurrency, enabled.threads))


def find_clashes(handlers: Sequence[type[Handler]]) -> list[str]:
    """Return a sentence for each key of a cloud-config, and each well-known path, that several handlers declare."""
    owners: dict[str, list[str]] = {}
    for handler in handlers:
        for key in dict.fromkeys(handler.cloud_init_keys):
            owners.setdefault(f"set {key} for cloud-init", []).append(handler.name)
        for path in handler.routes:
            if path.startswith(WELL_KNOWN):
                owners.setdefault(f"serve /{path}", []).append(handler.name)
    return [
        f"handlers {' and '.join(names)} both {what}; only one of them can be enabled"
        for what, names in owners.items()
        if len(names) > 1
    ]


def is_handler(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Handler) and value is not Handler


def distribution(entry_point: EntryPoint) -> str:
    assert entry_point.dist  # entry points from importlib.metadata have one; those from stevedore's cache do not
    return f"{entry_point.dist.name} {entry_point.dist.version}"
