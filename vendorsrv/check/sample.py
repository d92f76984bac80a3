"""A commented sample configuration: first what must be set, then every option with its explanation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import distribution
from typing import Any, Final

from oslo_config import cfg

from vendorsrv.auth.account import ACCOUNT as SERVICE_ACCOUNT
from vendorsrv.auth.options import declared
from vendorsrv.declarations import COMMON_OPTIONS
from vendorsrv.facts.options import declared as options_of_facts
from vendorsrv.handler import Handler
from vendorsrv.lifecycle.options import GROUP as LIFECYCLE
from vendorsrv.lifecycle.options import OPTIONS
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
#: The account that looks up facts: of the above, what it needs.
OF_FACTS: Final = {
    **{name: ACCOUNT[name] for name in ("auth_type", "auth_url", "username", "password", "user_domain_name")},
    "username": "vendorsrv-facts",
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
        yield from section(name, led_by(ACCOUNT, options), ACCOUNT)
    for name, options in options_of_facts(cfg.ConfigOpts()).items():
        if name == SERVICE_ACCOUNT:
            yield "# The account that looks up facts; only for handlers and policy rules that need some."
        yield from section(name, led_by(OF_FACTS, options), OF_FACTS, needed=False)
    others = {name: options for name, options in SECTIONS.items() if name != GROUP} | {LIFECYCLE: OPTIONS}
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


def led_by(names: Iterable[str], options: Sequence[cfg.Opt]) -> list[cfg.Opt]:
    """Return options with those of these names first."""
    first = {option.dest: option for option in options}
    return [*dict.fromkeys([*(first[name] for name in names if name in first), *options])]


def section(name: str, options: Sequence[cfg.Opt], values: Mapping[str, str], *, needed: bool = True) -> Iterator[str]:
    """Yield the lines of a section.

    :param values: for options that must be set if the section is needed.
    :param needed: whether it is; else they are commented out too.
    """
    yield f"[{name}]"
    for option in options:
        yield ""
        text = " ".join(f"{option.help or ''} ({describe(option)})".split())
        yield from textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
        if option.dest in values:
            yield f"{'' if needed else '#'}{option.dest} = {values[option.dest]}".rstrip()
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
    accounts = {**declared(cfg.ConfigOpts()), **options_of_facts(cfg.ConfigOpts()), LIFECYCLE: OPTIONS}
    return [*SECTIONS.items(), *accounts.items(), *handlers.items()]
