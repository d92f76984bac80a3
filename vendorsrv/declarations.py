"""What a handler class declares, what an operator may override, and how both can contradict themselves."""

from __future__ import annotations

import enum
import inspect
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from oslo_config import cfg
from pydantic import BaseModel

from vendorsrv.instance import find_wrong_needs

#: A URL segment that needs no escaping, without percent signs and commas, which nova.conf would misread.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED: Final = frozenset({"cloud-init", "healthcheck"})
#: Follow a handler's name in the keys of what its cloud_init and its prepare returned; no name contains a colon.
CLOUD_INIT_SUFFIX: Final = ":cloud-init"
PREPARE_SUFFIX: Final = ":prepare"
LONGEST_NAME: Final = 63
#: Routes that are served at the root as well (RFC 8615).
WELL_KNOWN: Final = ".well-known/"
ROUTE: Final = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")


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
    cfg.FloatOpt("pin_for", min=0.0, help="Seconds for which the first answer is stored; 0: for the instance's life."),
    cfg.StrOpt(
        "on_error",
        choices=[mode.value for mode in OnError],
        help="What Nova gets when the handler fails: the error, {}, or the last good answer.",
    ),
    cfg.IntOpt("concurrency", min=1, help="Answers that a worker computes at once."),
    cfg.BoolOpt("for_cloud_init", help="Nova's target cloud-init calls this handler directly."),
    cfg.BoolOpt("verify", help="Run only for an instance that exists at Nova, in the project that the request names."),
    cfg.BoolOpt("required_for_ready", help="/-/ready answers 503 while this handler says that it is not ready."),
    cfg.IntOpt(
        "queue", min=0, help="Requests that may wait for a slot of `concurrency`; further ones get 503 at once."
    ),
)

#: How answers are kept, by a class and by the operator.
STORAGE: Final = ("pin", "pin_for", "cache_for", "on_error")
#: The methods that vendorsrv calls, and what follows ``self``.
TAKES: Final = {
    **dict.fromkeys(("handle", "cloud_init", "cache_key", "prepare"), ", request"),
    **dict.fromkeys(("open", "close", "state"), ""),
    "deleted": ", instance_id, prepared",
}
#: How messages name these arguments.
NAMED: Final = {"": "no argument", ", request": "the request", ", instance_id, prepared": "instance_id and prepared"}


def contradictions(cls: Any, base: Any) -> list[str]:
    """Return what is wrong with a handler class; empty if it can work.

    :param base: the class ``Handler``.
    """
    found = []
    # What a class can declare, by its letters alone.
    declarations = {name.replace("_", ""): name for name in base.__annotations__ if name != "settings"}
    if not (isinstance(cls.name, str) and NAME.fullmatch(cls.name)):
        found.append(f"name {cls.name!r} must consist of lower-case letters, digits, - and _")
    elif cls.name in RESERVED:
        found.append(f"name {cls.name!r} is reserved for vendorsrv itself")
    found.extend(number_contradictions(cls))
    if not isinstance(cls.on_error, OnError):
        found.append(f"on_error is {cls.on_error!r}; it must be a member of OnError")
    methods = ("handle", "cloud_init", "cache_key", "prepare", "deleted")
    found.extend(f"{name} must be a method" for name in methods if not callable(getattr(cls, name)))
    found.extend(
        f"{name} must take {NAMED[arguments]}: def {name}(self{arguments})"
        for name, arguments in TAKES.items()
        if not takes(cls, name, arguments.count(","))
    )
    found.extend(
        f"{name} is not read; write {wanted}"
        for name in cls.__dict__
        if (wanted := declarations.get(name.lower().replace("_", ""), name)) != name and not name.isupper()
    )
    found.extend(
        f"{name} must be an async def"
        for name in ("open", "close")
        if not inspect.iscoroutinefunction(getattr(cls, name))
    )
    found.extend(
        f"{name} must be a plain def"
        for name in ("state", "cache_key")
        if inspect.iscoroutinefunction(getattr(cls, name))
    )
    held = {name: getattr(cls, name) for name in STORAGE}
    prepares = cls.prepare is not base.prepare
    found.extend(storage_contradictions(**held, prepares=prepares))
    if cls.cache_key is not base.cache_key and is_pinned(cls.pin, cls.pin_for, prepares=prepares):
        found.append("pin and cache_key exclude each other: a pinned answer belongs to one instance")
    found.extend(answer_contradictions(cls, base))
    found.extend(find_wrong_needs(cls.needs))
    return [*found, *option_contradictions(cls), *name_contradictions(cls, base), *route_contradictions(cls)]


def number_contradictions(cls: Any) -> list[str]:
    found = []
    if not is_number(cls.timeout) or not 0 < cls.timeout < math.inf:
        found.append(f"timeout is {cls.timeout!r}; it must be more than 0 seconds")
    found.extend(
        f"{name} is {seconds!r}; it must be 0 seconds or more"
        for name in ("cache_for", "pin_for", "max_age")
        if not is_number(seconds := getattr(cls, name)) or not 0 <= seconds < math.inf
    )
    for attribute, least in (("threads", 1), ("concurrency", 1), ("queue", 0)):
        value = getattr(cls, attribute)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            found.append(f"{attribute} is {value!r}; it must be a whole number, at least {least}")
    return found


def takes(cls: Any, name: str, arguments: int) -> bool:
    """Whether a method can be called with so many arguments; False for nothing but a function that cannot."""
    method = inspect.getattr_static(cls, name)
    try:
        if inspect.isfunction(method):
            inspect.signature(method).bind(cls, *range(arguments))
    except TypeError:
        return False
    return True


def answer_contradictions(cls: Any, base: Any) -> list[str]:
    if cls.answer is None:
        return []
    if not (inspect.isclass(cls.answer) and issubclass(cls.answer, BaseModel)):
        return ["answer must be a pydantic model, a subclass of BaseModel"]
    return ["answer needs the method handle"] if cls.handle is base.handle else []


def route_contradictions(cls: Any) -> list[str]:
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


def is_pinned(pin: bool | None, pin_for: float, *, prepares: bool) -> bool:
    """Whether answers are pinned: ``pin_for`` and ``prepare`` imply ``pin``."""
    return prepares or pin_for > 0 if pin is None else pin


def storage_contradictions(
    *, pin: bool | None, pin_for: float, cache_for: float, on_error: OnError, prepares: bool
) -> list[str]:
    """Return why these values exclude each other; they come from a class, or from the operator.

    :param prepares: whether the class defines ``prepare``.
    """
    found = []
    reasons = {"prepare": prepares, "pin_for": is_number(pin_for) and pin_for > 0}
    implied = [name for name, implies in reasons.items() if implies]
    if pin is False and implied:
        found.append(f"pin = false and {implied[0]} exclude each other: what it makes is pinned")
    how = "pin" if pin else implied[0] if implied else None
    if how and cache_for:
        found.append(f"{how} and cache_for exclude each other: a pinned answer is read from the pin store each time")
    if how and on_error is OnError.STALE:
        found.append(f"{how} and OnError.STALE exclude each other: a pinned answer is never stale")
    return found


def name_contradictions(cls: Any, base: Any) -> list[str]:
    found = []
    has_cloud_init = cls.cloud_init is not base.cloud_init
    for method, defined, suffix in (
        ("cloud_init", has_cloud_init, CLOUD_INIT_SUFFIX),
        ("prepare", cls.prepare is not base.prepare, PREPARE_SUFFIX),
    ):
        if defined and len(cls.name) > (longest := LONGEST_NAME - len(suffix)):
            found.append(f"name {cls.name!r} is too long for a handler with {method}: at most {longest} characters")
    if isinstance(cls.cloud_init_keys, str) or not all(isinstance(key, str) for key in cls.cloud_init_keys):
        found.append("cloud_init_keys must be a tuple of strings")
    elif cls.cloud_init_keys and not has_cloud_init:
        found.append("cloud_init_keys needs the method cloud_init")
    return found


def option_contradictions(cls: Any) -> list[str]:
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
