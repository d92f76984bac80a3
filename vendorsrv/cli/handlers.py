"""The commands ``vendorsrv handlers`` and ``vendorsrv config``."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Sequence
from typing import Any, Final

import click
from oslo_config import cfg
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vendorsrv.auth.account import is_set
from vendorsrv.auth.policy import Policy, rule_name
from vendorsrv.check.sample import render_sample
from vendorsrv.cli.options import config_file
from vendorsrv.errors import ConfigError
from vendorsrv.handlers.registry import DECLARED, EnabledHandler, Registry, find
from vendorsrv.nova.outcomes import table
from vendorsrv.settings import Settings, read_handler
from vendorsrv.tables import show_columns, show_table

HEADINGS: Final = (
    *("name", "endpoint", "runs in", "timeout", "concurrency", "queue", "keeps answers", "on error", "facts"),
    *("public routes", "source", "description"),
)


@click.command()
@config_file
@click.option("--modes", is_flag=True, help="Show what happens to an instance when a handler fails.")
@click.option("--json", "as_json", is_flag=True, help="Print the handlers as a JSON list.")
def handlers(config_file: Sequence[str], modes: bool, as_json: bool) -> None:
    """Show the enabled handlers and their settings, with the overrides of the configuration."""
    settings = Settings.from_file(config_file)
    enabled = Registry(settings).handlers
    policy = Policy(settings.conf, list(enabled), has_account=is_set(settings.conf))
    described = [describe(each, settings.conf, policy) for each in enabled.values()]
    if modes:
        show_modes(described, Console(), as_json=as_json)
        return
    if as_json:
        click.echo(json.dumps(described, indent=2))
    else:
        show([row(each) for each in described], Console())


@click.command()
@click.option("--handler", "names", multiple=True, metavar="NAME", help="Include this handler; can be repeated.")
def config(names: tuple[str, ...]) -> None:
    """Print a sample configuration with every option; those that are not commented out must be set."""
    found, problems = find(names)
    if problems:
        raise ConfigError("\n".join(problems))
    click.echo("\n".join(render_sample({name: each.handler for name, each in zip(names, found, strict=True)})).rstrip())


def describe(enabled: EnabledHandler, conf: cfg.ConfigOpts, policy: Policy) -> dict[str, Any]:
    declared = {name: getattr(enabled, name) for name in DECLARED}
    configured = read_handler(conf, type(enabled.handler))[1]
    overridden = [name for name in DECLARED if name in configured and declared[name] != getattr(enabled.handler, name)]
    return {
        "name": enabled.name,
        "source": enabled.source,
        "path": f"/{enabled.name}",
        "runs_in": enabled.runs_in,
        **declared,
        "on_error": enabled.on_error.value,
        "ttl_from_upstream": math.isinf(enabled.cache_limit) and not enabled.pin,
        "needs": enabled.needs,
        "rule_needs": list(policy.needs[rule_name(enabled.name)]),
        "overridden": overridden,
        "routes": [f"/{enabled.name}/{route}" for route in enabled.routes],
        "description": (inspect.getdoc(type(enabled.handler)) or "").partition("\n")[0],
    }


def row(described: dict[str, Any]) -> tuple[str, ...]:
    def cell(text: str, *names: str) -> str:
        return f"{text} (configured)" if {*names} & {*described["overridden"]} else text

    if described["pin"]:
        keeps = f"pinned for {described['pin_for']:g} s" if described["pin_for"] else "pinned"
    elif described["ttl_from_upstream"]:
        keeps = "as the upstream says"
    else:
        keeps = f"{described['cache_for']:g} s" if described["cache_for"] else "-"
    return (
        described["name"],
        f"POST {described['path']}",
        described["runs_in"],
        cell(f"{described['timeout']:g} s", "timeout"),
        cell(str(described["concurrency"]), "concurrency", "threads"),
        cell(str(described["queue"]), "queue"),
        cell(keeps, "pin", "pin_for", "cache_for"),
        cell(described["on_error"], "on_error"),
        facts_of(described),
        " ".join(described["routes"]) or "-",
        described["source"],
        described["description"],
    )


def facts_of(described: dict[str, Any]) -> str:
    """Return the facts that a handler needs and those that its policy rule names."""
    needs = [name if required else f"{name} (optional)" for name, required in described["needs"].items()]
    return ", ".join([*needs, *(f"{name} (policy)" for name in described["rule_needs"])]) or "-"


def show(rows: Sequence[tuple[str, ...]], console: Console) -> None:
    """Print the handlers: as a table on a terminal, and as columns otherwise."""
    if console.is_terminal:
        listed = Table("handler", "settings", show_lines=True)
        for name, *cells, description in rows:
            settings = [f"{heading}: {cell}" for heading, cell in zip(HEADINGS[1:], cells, strict=False)]
            listed.add_row(Text(name, style="bold", no_wrap=True), Text("\n".join([description, *settings])))
        console.print(listed)
        return
    show_columns(HEADINGS, rows, console)


def show_modes(described: Sequence[dict[str, Any]], console: Console, *, as_json: bool) -> None:
    """Print what happens to an instance when a handler fails, with the handlers of each mode."""
    headings, *rows = [
        (*row, ", ".join(each["name"] for each in described if each["on_error"] == row[0])) for row in table()
    ]
    headings = (*headings[:-1], "handlers")
    if as_json:
        click.echo(json.dumps([dict(zip(headings, row, strict=True)) for row in rows], indent=2))
        return
    show_table(headings, rows, console)
    click.echo("While the pin store is unavailable, a pinning handler answers with an error, whatever its on_error.")
    click.echo("An instance that has a pinned answer gets it on each new drive.")
