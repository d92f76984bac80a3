"""What a vendor declares; everything else happens around it."""

from __future__ import annotations

import inspect
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.request import VendordataRequest

#: A URL segment that needs no escaping, and no percent sign or comma that nova.conf would stumble over.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED: Final = frozenset({"cloud-init"})
ROUTE: Final = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")

#: What an operator may set for every handler, in ``[handler:<name>]``; the class attribute is the default.
COMMON_OPTIONS: Final = (
    cfg.FloatOpt("timeout", min=0.001, help="Seconds that one answer may take; the class's own value by default."),
    cfg.IntOpt("threads", min=1, help="Calls of a plain `def handle` that may run at once in a worker."),
)


class HandlerDefinitionError(TypeError):
    """A Handler subclass contradicts itself; the text names the class, the file and the line."""


class Handler:
    """Base class of every handler: one kind of vendordata, served under ``POST /<name>``.

    A subclass defines :meth:`handle`, as ``async def`` or as plain ``def`` (then it runs in a thread). One object
    is built for each worker process, with its settings, and asked for every instance.

    :cvar name: the URL segment and the configuration's section; the class's name in kebab-case by default.
    :cvar timeout: seconds that one answer may take, 4.0 by default; Nova itself gives up after 5
        (``[api] vendordata_dynamic_read_timeout``).
    :cvar threads: how many calls of a plain ``def handle`` may run at once in a worker.
    :cvar options: oslo.config options, read from ``[handler:<name>]`` and given as :attr:`settings`.
    :cvar routes: public GET routes, ``{"jwks.json": "jwks"}``: path below ``/<name>/``, and the name of the
        method (no arguments, sync or async) that gives its JSON. They ask for no token.
    :ivar settings: the options' values as frozen attributes.
    :raises HandlerDefinitionError: when a subclass is defined that cannot work.
    """

    name: ClassVar[str]
    timeout: ClassVar[float] = 4.0
    threads: ClassVar[int] = 8
    options: ClassVar[Sequence[cfg.Opt]] = ()
    routes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = kebab(cls.__name__)
        for problem in contradictions(cls):
            raise HandlerDefinitionError(f"{place_of(cls)}: class {cls.__name__}: {problem}")

    async def open(self) -> None:
        """Prepare what the handler shares between requests (a client, a pool); runs when the worker starts."""

    async def close(self) -> None:
        """Give back what :meth:`open` took; runs when the worker stops."""

    def handle(self, request: VendordataRequest) -> Any:
        """Answer for one instance.

        :param request: what Nova said of the instance.
        :returns: any JSON value; ``None`` and ``{}`` are "nothing for this instance".
        :raises VendordataError: its status and message reach Nova. Any other exception is a 500 without its text.
        """
        raise NotImplementedError


def place_of(cls: type[Handler]) -> str:
    """Give file and line of the class statement that is at work; a metaclass such as ABCMeta may stand between."""
    frames = inspect.stack(0)[2:]
    own = (frame for frame in frames if frame.frame.f_globals.get("__name__") == cls.__module__)
    place = next(own, frames[0])
    return f"{place.filename}:{place.lineno}"


def contradictions(cls: type[Handler]) -> list[str]:
    """Say what is wrong with a handler class; empty when it can work."""
    found = []
    if not (isinstance(cls.name, str) and NAME.fullmatch(cls.name)):
        found.append(f"name {cls.name!r} is no URL segment of lower-case letters, digits, - and _")
    elif cls.name in RESERVED:
        found.append(f"name {cls.name!r} is reserved for vendorsrv itself")
    if not is_number(cls.timeout) or not 0 < cls.timeout < math.inf:
        found.append(f"timeout is {cls.timeout!r}; it must be a number of seconds above 0")
    if isinstance(cls.threads, bool) or not isinstance(cls.threads, int) or cls.threads < 1:
        found.append(f"threads is {cls.threads!r}; it must be a whole number above 0")
    if not callable(cls.handle):
        found.append("handle is no method")
    found.extend(f"{name} must be an async def" for name in ("open", "close") if not is_async(getattr(cls, name)))
    found.extend(option_contradictions(cls))
    for path, method in cls.routes.items():
        if not ROUTE.fullmatch(path):
            found.append(f"route {path!r} is no relative URL path")
        elif not callable(getattr(cls, method, None)):
            found.append(f"route {path!r} names the method {method!r}, which does not exist")
    return found


def option_contradictions(cls: type[Handler]) -> list[str]:
    taken = {option.dest for option in COMMON_OPTIONS}
    found = []
    for option in cls.options:
        if not isinstance(option, cfg.Opt):
            found.append(f"options holds {type(option).__name__}, which is no oslo.config option")
        elif option.dest in taken:
            found.append(f"option {option.dest!r} is declared twice, or is one that every handler has")
        elif not option.dest.isidentifier() or keyword.iskeyword(option.dest):
            found.append(f"option {option.dest!r} is no name in Python, as settings need; give it a dest")
        else:
            taken.add(option.dest)
    return found


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_async(method: Any) -> bool:
    """Say whether calling the method gives a coroutine, so that it runs on the event loop and not in a thread."""
    return inspect.iscoroutinefunction(method)


def kebab(class_name: str) -> str:
    """Turn ``MailServer`` into ``mail-server``, and ``DNSRecord`` into ``dns-record``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


def check_complete(cls: type[Handler]) -> None:
    """Refuse a class that defines no ``handle`` of its own.

    :raises ConfigError: an abstract class was configured.
    """
    if cls.handle is Handler.handle:
        raise ConfigError(f"handler {cls.name}: class {cls.__name__} has no handle method")
