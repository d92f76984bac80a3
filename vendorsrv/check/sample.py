"""A commented sample configuration: first what must be set, then every option with its explanation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distribution
from typing import Any, Final

from oslo_config import cfg

from vendorsrv.auth.options import declared
from vendorsrv.declarations import COMMON_OPTIONS
from vendorsrv.handler import Handler
from vendorsrv.proxy.options import PROXY_OPTIONS
from vendorsrv.settings import GROUP, SECTIONS

#: vendorsrv's own account, as most clouds have it.
ACCOUNT: Final = {
    "auth_type": "password",
    "auth_url": "https://keystone.example.org:5000/v3",
    "www_authenticate_uri": "https://keystone.example.org:5000/v3",
    "username": "vendorsrv",
    "password": "CHANGE-ME",
    "user_domain_name": "Default",
    "project_name": "service",
    "project_domain_name": "Default",
}
#: The sections of libraries, and their namespaces.
LIBRARIES: Final = {"cache": "oslo.cache", "oslo_policy": "oslo.policy", "DEFAULT": "oslo.log"}
CHANGE_ME: Final = "CHANGE-ME"
WIDTH: Final = 100


def render_sample(handlers: Mapping[str, type[Handler]]) -> Iterator[str]:
    """Yield the lines of a sample; the options that are not commented out must be set.

    :param handlers: the handlers that get a section, by the name or ``module:Class`` that enables them.
    """
    yield from section(GROUP, SECTIONS[GROUP], {"handlers": ",".join(handlers)})
    for handler in handlers.values():
        required = {option.dest: CHANGE_ME for option in handler.options if option.required and option.default is None}
        yield from section(handler.section, [*handler.options, *COMMON_OPTIONS], required)
    if not handlers:
        unknown = {"handler:NAME": COMMON_OPTIONS, "proxy:NAME": [*PROXY_OPTIONS, *COMMON_OPTIONS]}
        for name, each in unknown.items():
            yield from (f"# {line}".rstrip() for line in section(name, each, {}))
            yield ""
    for name, options in declared(cfg.ConfigOpts()).items():
        yield "# vendorsrv's own account, with which it validates Nova's tokens."
        first = {option.dest: option for option in options if option.dest in ACCOUNT}
        rest = [option for option in options if option.dest not in ACCOUNT]
        yield from section(name, [*(first[each] for each in ACCOUNT), *rest], ACCOUNT)
    others = {name: options for name, options in SECTIONS.items() if name != GROUP}
    for name, each in {**others, **library_sections()}.items():
        yield from section(name, each, {})


def library_sections() -> dict[str, list[cfg.Opt]]:
    """Return the options that libraries declare for sample configurations, by section."""
    sections = {}
    for name, library in LIBRARIES.items():
        # Only this library's entry points: searching those of all distributions takes longer than the import.
        (entry_point,) = distribution(library).entry_points.select(group="oslo.config.opts", name=library)
        sections[name] = [option for _, options in entry_point.load()() for option in options]
    return sections


def section(name: str, options: Sequence[cfg.Opt], values: dict[str, str]) -> Iterator[str]:
    yield f"[{name}]"
    for option in options:
        yield ""
        text = " ".join(f"{option.help or ''} ({describe(option)})".split())
        yield from textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
        if option.dest in values:
            yield f"{option.dest} = {values[option.dest]}".rstrip()
        else:
            yield f"#{option.dest} = {shown(option)}".rstrip()
    yield ""


def describe(option: cfg.Opt) -> str:
    words = [getattr(option.type, "type_name", "string value")]
    for limit in ("min", "max"):
        value = getattr(option.type, limit, None)
        words += [] if value is None else [f"{limit} {value}"]
    choices: Any = getattr(option.type, "choices", None)
    words += [f"one of {', '.join(filter(None, map(str, choices)))}"] if choices else []
    words += ["required"] if option.required else []
    words += ["deprecated"] if option.deprecated_for_removal else []
    return ", ".join(words)


def shown(option: cfg.Opt) -> str:
    value = option.default if option.sample_default is None else option.sample_default
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Return the options for ``oslo-config-generator --namespace vendorsrv``."""
    handlers = {"handler:name": COMMON_OPTIONS, "proxy:name": [*PROXY_OPTIONS, *COMMON_OPTIONS]}
    return [*SECTIONS.items(), *declared(cfg.ConfigOpts()).items(), *handlers.items()]
