"""The class that handler authors subclass, and the checks of what a subclass declares."""

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

from vendorsrv.request import VendordataRequest

#: A URL segment that needs no escaping, without percent signs and commas, which nova.conf would misread.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED: Final = frozenset({"cloud-init", "healthcheck"})
#: Follows a handler's name in the keys of what its cloud_init returned; no name contains a colon.
CLOUD_INIT_SUFFIX: Final = ":cloud-init"
LONGEST_NAME: Final = 63
ROUTE: Final = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
#: The running handler's deadline on the monotonic clock; infinite outside of a run.
DEADLINE: Final[ContextVar[float]] = ContextVar("DEADLINE", default=math.inf)


class OnError(enum.Enum):
    """What Nova gets when a handler fails, overruns its deadline, is busy, or has an open circuit breaker.

    Nova's ``[api] vendordata_dynamic_failure_fatal`` decides what an error does to the instance.
    """

    FAIL = "fail"
    """The error, with its status."""

    EMPTY = "empty"
    """``{}`` with status 200, for data that an instance can do without."""

    STALE = "stale"
    """The last good answer for the same instance, however old; the error if there is none."""


#: Options of every handler, in ``[handler:<name>]``; the class attribute is the default.
COMMON_OPTIONS: Final = (
    cfg.FloatOpt(
        "timeout", min=0.001, help="Seconds for one answer; by default the value that the handler's class declares."
    ),
    cfg.IntOpt("threads", min=1, help="Calls of a plain `def handle` that a worker runs at once."),
    cfg.FloatOpt(
        "cache_for", min=0.0, help="Seconds for which an answer is reused for an identical request; 0 turns this off."
    ),
    cfg.BoolOpt("pin", help="Store the first answer and return it for the rest of the instance's life."),
    cfg.StrOpt(
        "on_error",
        choices=[mode.value for mode in OnError],
        help="What Nova gets when the handler fails: the error, {}, or the last good answer.",
    ),
    cfg.IntOpt("concurrency", min=1, help="Answers that a worker computes at once."),
    cfg.BoolOpt("for_cloud_init", help="Nova's target cloud-init calls this handler directly."),
    cfg.BoolOpt("required_for_ready", help="/-/ready answers 503 while this handler says that it is not ready."),
    cfg.IntOpt(
        "queue", min=0, help="Requests that may wait for a slot of `concurrency`; further ones get 503 at once."
    ),
)


class HandlerDefinitionError(TypeError):
    """A Handler subclass cannot work as declared; the text names the class, the file and the line."""


class Handler:
    """Base class of every handler: one kind of vendordata, served under ``POST /<name>``.

    A subclass defines :meth:`handle` or :meth:`cloud_init` or both, as ``async def`` or as plain ``def`` (then it
    runs in a thread). Each worker process creates one object of it, with its settings, and calls it for every request.

    :cvar name: the URL segment and the configuration's section; the class's name in kebab-case by default.
    :cvar timeout: seconds for one answer; Nova gives up after 5 (``[api] vendordata_dynamic_read_timeout``).
    :cvar threads: calls of a plain ``def handle`` that a worker runs at once.
    :cvar cache_for: seconds for which an answer is reused for an identical request; 0 turns this off.
    :cvar pin: whether the first answer, even ``{}``, is stored and returned for the rest of the instance's life.
    :cvar on_error: what Nova gets instead of an error, see :class:`OnError`.
    :cvar concurrency: answers that a worker computes at once (a plain ``def handle``: at most ``threads``).
    :cvar queue: requests that may wait for a slot of ``concurrency``.
    :cvar per_caller: whether answers depend on the caller; then they are not shared between callers. A pinned answer
        still belongs to the instance.
    :cvar section: the section of the operator's options, ``handler:<name>`` by default.
    :cvar version: change it when answers change: cached answers of another version are not used. By default the
        version of the handler's package.
    :cvar for_cloud_init: whether Nova's target ``cloud-init`` calls this handler directly, and not the server's
        ``/cloud-init``; then its answer is one string that cannot harm a boot, or an error.
    :cvar required_for_ready: whether the server is not ready while :meth:`state` says that the handler is not.
    :cvar cloud_init_keys: top-level keys that :meth:`cloud_init` always sets, such as ``("hostname",)``. Two handlers
        that set the same key are not served together.
    :cvar options: oslo.config options, read from the section into :attr:`settings`.
    :cvar routes: public GET routes, ``{"jwks.json": "jwks"}``: path below ``/<name>/``, and the name of the
        method (no arguments, sync or async) that returns its JSON. They need no token.
    :ivar settings: the options' values as read-only attributes.
    :raises HandlerDefinitionError: a subclass is defined that cannot work.
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
    required_for_ready: ClassVar[bool] = False
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
        """Create what the handler shares between requests (a client, a pool); runs when the worker starts."""

    async def close(self) -> None:
        """Release what :meth:`open` created; runs when the worker stops."""

    def state(self) -> Mapping[str, Any]:
        """Return the state of the handler's dependencies without blocking: a JSON object, public in ``/-/ready``.

        ``{"ready": False, "message": "…"}`` says that the handler cannot answer now, and why; with
        :attr:`required_for_ready` the server is not ready then. If it raises or returns something else, the state is
        ``error``, and the server stays ready.
        """
        return {}

    def handle(self, request: VendordataRequest) -> Any:
        """Return the data for one instance.

        :param request: what Nova sent about the instance.
        :returns: any JSON value; ``None`` and ``{}`` are "nothing for this instance".
        :raises VendordataError: Nova gets its status and message. Any other exception is a 500 without its text.
        """
        raise NotImplementedError

    def cloud_init(self, request: VendordataRequest) -> Any:
        """Return parts for an instance's cloud-init; ``POST /cloud-init`` joins those of all handlers.

        Deadline, cache, pin and ``on_error`` are as for :meth:`handle`; the two answers are kept separately.

        :returns: a CloudConfig, Script, Boothook or Jinja, or a list of them; ``None`` for nothing.
        :raises CloudInitError: by these classes; Nova gets its message, as that of every VendordataError.
        """
        raise NotImplementedError


#: The methods that vendorsrv calls, and what follows ``self``.
TAKES: Final = {"handle": ", request", "cloud_init": ", request", "open": "", "close": "", "state": ""}
#: What a class can declare, by its letters alone.
DECLARATIONS: Final = {name.replace("_", ""): name for name in Handler.__annotations__ if name != "settings"}


def place_of(cls: type[Handler]) -> str:
    """Return file and line of the class statement, past the frames of a metaclass such as ABCMeta."""
    frames = inspect.stack(0)[2:]
    own = (frame for frame in frames if frame.frame.f_globals.get("__name__") == cls.__module__)
    place = next(own, frames[0])
    return f"{place.filename}:{place.lineno}"


def contradictions(cls: type[Handler]) -> list[str]:
    """Return what is wrong with a handler class; empty if it can work."""
    found = []
    if not (isinstance(cls.name, str) and NAME.fullmatch(cls.name)):
        found.append(f"name {cls.name!r} must consist of lower-case letters, digits, - and _")
    elif cls.name in RESERVED:
        found.append(f"name {cls.name!r} is reserved for vendorsrv itself")
    if not is_number(cls.timeout) or not 0 < cls.timeout < math.inf:
        found.append(f"timeout is {cls.timeout!r}; it must be more than 0 seconds")
    if not is_number(cls.cache_for) or not 0 <= cls.cache_for < math.inf:
        found.append(f"cache_for is {cls.cache_for!r}; it must be 0 seconds or more")
    if not isinstance(cls.on_error, OnError):
        found.append(f"on_error is {cls.on_error!r}; it must be a member of OnError")
    found.extend(f"{name} must be a method" for name in ("handle", "cloud_init") if not callable(getattr(cls, name)))
    found.extend(
        f"{name} must take {'the request' if arguments else 'no argument'}: def {name}(self{arguments})"
        for name, arguments in TAKES.items()
        if not takes(cls, name, arguments.count(","))
    )
    found.extend(
        f"{name} is not read; write {wanted}"
        for name in cls.__dict__
        if (wanted := DECLARATIONS.get(name.lower().replace("_", ""), name)) != name and not name.isupper()
    )
    found.extend(
        f"{name} must be an async def"
        for name in ("open", "close")
        if not inspect.iscoroutinefunction(getattr(cls, name))
    )
    if inspect.iscoroutinefunction(cls.state):
        found.append("state must be a plain def")
    found.extend(storage_contradictions(pin=cls.pin, cache_for=cls.cache_for, on_error=cls.on_error))
    for attribute, least in (("threads", 1), ("concurrency", 1), ("queue", 0)):
        value = getattr(cls, attribute)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            found.append(f"{attribute} is {value!r}; it must be a whole number, at least {least}")
    return [*found, *option_contradictions(cls), *cloud_init_contradictions(cls), *route_contradictions(cls)]


def takes(cls: type[Handler], name: str, arguments: int) -> bool:
    """Whether a method can be called with so many arguments; False for nothing but a function that cannot."""
    method = inspect.getattr_static(cls, name)
    try:
        if inspect.isfunction(method):
            inspect.signature(method).bind(cls, *range(arguments))
    except TypeError:
        return False
    return True


def route_contradictions(cls: type[Handler]) -> list[str]:
    found = []
    if not isinstance(cls.routes, Mapping):
        return ["routes must be a dict of paths and the names of methods"]
    for path, method in cls.routes.items():
        if not ROUTE.fullmatch(path):
            found.append(f"route {path!r} must be a relative URL path")
        elif not callable(getattr(cls, method, None)):
            found.append(f"route {path!r} names the method {method!r}, which does not exist")
        elif not takes(cls, method, 0):
            found.append(f"route {path!r} names the method {method!r}, which must take no argument: def {method}(self)")
    return found


def storage_contradictions(*, pin: bool, cache_for: float, on_error: OnError) -> list[str]:
    """Return why these values exclude each other; they come from a class, or from the operator."""
    found = []
    if pin and cache_for:
        found.append("pin and cache_for exclude each other: a pinned answer is read from the pin store each time")
    if pin and on_error is OnError.STALE:
        found.append("pin and OnError.STALE exclude each other: a pinned answer is never stale")
    return found


def cloud_init_contradictions(cls: type[Handler]) -> list[str]:
    found = []
    if defines_cloud_init(cls) and len(cls.name) + len(CLOUD_INIT_SUFFIX) > LONGEST_NAME:
        found.append(f"name {cls.name!r} is too long for a handler with cloud_init: at most 52 characters")
    if isinstance(cls.cloud_init_keys, str) or not all(isinstance(key, str) for key in cls.cloud_init_keys):
        found.append("cloud_init_keys must be a tuple of strings")
    elif cls.cloud_init_keys and not defines_cloud_init(cls):
        found.append("cloud_init_keys needs the method cloud_init")
    return found


def option_contradictions(cls: type[Handler]) -> list[str]:
    taken = {option.dest for option in COMMON_OPTIONS}
    found = []
    if not isinstance(cls.options, Sequence):
        return ["options must be a tuple of oslo.config options; one alone needs a comma: options = (cfg.StrOpt(…),)"]
    for option in cls.options:
        if not isinstance(option, cfg.Opt):
            found.append(f"options contains a {type(option).__name__}; it must contain oslo.config options")
        elif option.dest in taken:
            found.append(f"option {option.dest!r} is declared twice, or exists for every handler")
        elif not option.dest.isidentifier() or keyword.iskeyword(option.dest):
            found.append(f"option {option.dest!r} is not a Python identifier; give it a dest")
        else:
            taken.add(option.dest)
    return found


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def kebab(class_name: str) -> str:
    """Turn ``MailServer`` into ``mail-server``, and ``DNSRecord`` into ``dns-record``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


def defines_handle(cls: type[Handler]) -> bool:
    """Whether a class defines ``handle``; if not, its ``cloud_init`` returns the answer."""
    return cls.handle is not Handler.handle


def defines_cloud_init(cls: type[Handler]) -> bool:
    return cls.cloud_init is not Handler.cloud_init
