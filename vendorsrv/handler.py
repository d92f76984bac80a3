"""What a vendor declares; everything else happens around it."""

from __future__ import annotations

import enum
import inspect
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Final

from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.request import VendordataRequest

#: A URL segment that needs no escaping, and no percent sign or comma that nova.conf would stumble over.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED: Final = frozenset({"cloud-init"})
#: What stands after a handler's name where what it gives to cloud-init is kept; no name has a colon.
CLOUD_INIT: Final = ":cloud-init"
LONGEST_NAME: Final = 63
ROUTE: Final = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")


#: When the running handler's time is up, on the monotonic clock; infinite outside of a run.
DEADLINE: Final[ContextVar[float]] = ContextVar("DEADLINE", default=math.inf)


class OnError(enum.Enum):
    """What Nova gets when a handler fails, is busy, slow or resting.

    Nova's ``[api] vendordata_dynamic_failure_fatal`` decides what a failure that reaches it does to the instance.
    """

    FAIL = "fail"
    """The error, with its status."""

    EMPTY = "empty"
    """``{}`` with status 200: the instance can live without."""

    STALE = "stale"
    """The last good answer for the same instance, however old; the error when there is none."""


#: What an operator may set for every handler, in ``[handler:<name>]``; the class attribute is the default.
COMMON_OPTIONS: Final = (
    cfg.FloatOpt("timeout", min=0.001, help="Seconds that one answer may take; the class's own value by default."),
    cfg.IntOpt("threads", min=1, help="Calls of a plain `def handle` that may run at once in a worker."),
    cfg.FloatOpt("cache_for", min=0.0, help="Seconds for which an answer is given again; 0 is never."),
    cfg.BoolOpt("pin", help="Whether the first answer holds for the instance's life."),
    cfg.StrOpt(
        "on_error",
        choices=[mode.value for mode in OnError],
        help="What Nova gets when the handler fails: the error, {} or the last good answer.",
    ),
    cfg.IntOpt("concurrency", min=1, help="Answers that a worker makes at once."),
    cfg.BoolOpt("for_cloud_init", help="Whether Nova's target cloud-init asks this handler itself."),
    cfg.IntOpt("queue", min=0, help="Requests that may wait for one of those; more are refused at once with 503."),
)


class HandlerDefinitionError(TypeError):
    """A Handler subclass contradicts itself; the text names the class, the file and the line."""


class Handler:
    """Base class of every handler: one kind of vendordata, served under ``POST /<name>``.

    A subclass defines :meth:`handle` or :meth:`cloud_init` or both, as ``async def`` or as plain ``def`` (then it
    runs in a thread). One object is built for each worker process, with its settings, and asked for every instance.

    :cvar name: the URL segment and the configuration's section; the class's name in kebab-case by default.
    :cvar timeout: seconds that one answer may take, 4.0 by default; Nova itself gives up after 5
        (``[api] vendordata_dynamic_read_timeout``).
    :cvar threads: how many calls of a plain ``def handle`` may run at once in a worker.
    :cvar cache_for: seconds for which an answer is given again for the same request, 0 for never.
    :cvar pin: whether the first answer, ``{}`` too, holds for the instance's life, from every worker and host.
    :cvar on_error: what Nova gets when there is no answer, see :class:`OnError`.
    :cvar concurrency: how many answers a worker makes at once (a plain ``def handle``: at most ``threads``).
    :cvar queue: how many requests may wait for one of those.
    :cvar per_caller: whether answers depend on who asks; then nobody gets one that was made, or kept, for somebody
        else. Pinned ones are the instance's all the same.
    :cvar section: where the operator's options are, ``handler:<name>`` unless the class says otherwise.
    :cvar version: changes when answers change; cached ones of another version are not used. By default the
        version of the package that the handler is from.
    :cvar for_cloud_init: whether Nova's target named ``cloud-init`` asks this handler itself, and not the whole
        server's ``/cloud-init``: then its answer is one string that cannot harm a boot, or an error.
    :cvar cloud_init_keys: top-level keys that :meth:`cloud_init` sets for certain to one value, such as
        ``("hostname",)``. Two handlers that name the same are not served together.
    :cvar options: oslo.config options, read from ``[handler:<name>]`` and given as :attr:`settings`.
    :cvar routes: public GET routes, ``{"jwks.json": "jwks"}``: path below ``/<name>/``, and the name of the
        method (no arguments, sync or async) that gives its JSON. They ask for no token.
    :ivar settings: the options' values as frozen attributes.
    :raises HandlerDefinitionError: when a subclass is defined that cannot work.
    """

    name: ClassVar[str]
    timeout: ClassVar[float] = 4.0
    threads: ClassVar[int] = 8
    cache_for: ClassVar[float] = 0.0
    pin: ClassVar[bool] = False
    on_error: ClassVar[OnError] = OnError.FAIL
    concurrency: ClassVar[int] = 64
    queue: ClassVar[int] = 256
    per_caller: bool = False
    section: ClassVar[str]
    version: str = ""
    for_cloud_init: ClassVar[bool] = False
    cloud_init_keys: ClassVar[Sequence[str]] = ()
    options: ClassVar[Sequence[cfg.Opt]] = ()
    routes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = kebab(cls.__name__)
        if "section" not in cls.__dict__:
            cls.section = f"handler:{cls.name}"
        for problem in contradictions(cls):
            raise HandlerDefinitionError(f"{place_of(cls)}: class {cls.__name__}: {problem}")

    async def open(self) -> None:
        """Prepare what the handler shares between requests (a client, a pool); runs when the worker starts."""

    async def close(self) -> None:
        """Give back what :meth:`open` took; runs when the worker stops."""

    def state(self) -> Mapping[str, Any]:
        """Say at once how what the handler needs is doing; shown in ``/-/ready`` to everybody."""
        return {}

    def handle(self, request: VendordataRequest) -> Any:
        """Answer for one instance.

        :param request: what Nova said of the instance.
        :returns: any JSON value; ``None`` and ``{}`` are "nothing for this instance".
        :raises VendordataError: its status and message reach Nova. Any other exception is a 500 without its text.
        """
        raise NotImplementedError

    def cloud_init(self, request: VendordataRequest) -> Any:
        """Give what this handler wants of an instance's cloud-init; ``POST /cloud-init`` joins it with the others'.

        Deadline, cache, pin and ``on_error`` are as for :meth:`handle`; what is kept is kept apart.

        :returns: a CloudConfig, Script, Boothook or Jinja, or a list of them; ``None`` for nothing.
        :raises CloudInitError: by these classes; as with every VendordataError its message reaches Nova.
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
    if not is_number(cls.cache_for) or not 0 <= cls.cache_for < math.inf:
        found.append(f"cache_for is {cls.cache_for!r}; it must be a number of seconds")
    if not isinstance(cls.on_error, OnError):
        found.append(f"on_error is {cls.on_error!r}; it must be a member of OnError")
    found.extend(f"{name} is no method" for name in ("handle", "cloud_init") if not callable(getattr(cls, name)))
    found.extend(f"{name} must be an async def" for name in ("open", "close") if not is_async(getattr(cls, name)))
    found.extend(keeping_contradictions(pin=cls.pin, cache_for=cls.cache_for, on_error=cls.on_error))
    return [
        *found,
        *count_contradictions(cls),
        *option_contradictions(cls),
        *cloud_init_contradictions(cls),
        *route_contradictions(cls),
    ]


def count_contradictions(cls: type[Handler]) -> list[str]:
    found = []
    for attribute, least in (("threads", 1), ("concurrency", 1), ("queue", 0)):
        value = getattr(cls, attribute)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            found.append(
                f"{attribute} is {value!r}; it must be a whole number {'of 0 or more' if least == 0 else 'above 0'}"
            )
    return found


def route_contradictions(cls: type[Handler]) -> list[str]:
    found = []
    for path, method in cls.routes.items():
        if not ROUTE.fullmatch(path):
            found.append(f"route {path!r} is no relative URL path")
        elif not callable(getattr(cls, method, None)):
            found.append(f"route {path!r} names the method {method!r}, which does not exist")
    return found


def keeping_contradictions(*, pin: bool, cache_for: float, on_error: OnError) -> list[str]:
    """Say why these declarations cannot hold together; they may come from a class or from the operator."""
    found = []
    if pin and cache_for:
        found.append("pin and cache_for exclude each other: what is pinned is read from its store each time")
    if pin and on_error is OnError.STALE:
        found.append("pin and OnError.STALE exclude each other: a pinned answer is never stale")
    return found


def cloud_init_contradictions(cls: type[Handler]) -> list[str]:
    found = []
    if contributes(cls) and len(cls.name) + len(CLOUD_INIT) > LONGEST_NAME:
        found.append(f"name {cls.name!r} is too long for a handler with cloud_init: 52 characters are the most")
    if isinstance(cls.cloud_init_keys, str) or not all(isinstance(key, str) for key in cls.cloud_init_keys):
        found.append("cloud_init_keys must be a tuple of strings")
    elif cls.cloud_init_keys and not contributes(cls):
        found.append("cloud_init_keys is nothing without cloud_init")
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


def answers(cls: type[Handler]) -> bool:
    """Say whether a class defines ``handle``; for one that does not, ``cloud_init`` gives the answer."""
    return cls.handle is not Handler.handle


def contributes(cls: type[Handler]) -> bool:
    """Say whether a class defines ``cloud_init``."""
    return cls.cloud_init is not Handler.cloud_init


def check_complete(cls: type[Handler]) -> None:
    """Refuse a class that defines neither ``handle`` nor ``cloud_init``.

    :raises ConfigError: an abstract class was configured.
    """
    if not answers(cls) and not contributes(cls):
        raise ConfigError(f"handler {cls.name}: class {cls.__name__} has no handle method")
