"""The commands ``vendorsrv handlers`` and ``vendorsrv config``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from vendorsrv.errors import ConfigError
from vendorsrv.registry import Enabled, Registry, find
from vendorsrv.sample import render
from vendorsrv.settings import Settings

HEADINGS: Final = ("name", "asked by", "runs in", "timeout", "threads", "public routes", "from", "does")


@click.command()
@click.option("--config-file", required=True, metavar="FILE", help="The server's INI file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def handlers(config_file: str, as_json: bool) -> None:
    """Show the enabled handlers and what they declare, with the configuration's overrides."""
    registry = Registry(Settings.from_file(config_file))
    described = [describe(enabled) for enabled in registry.handlers.values()]
    if as_json:
        click.echo(json.dumps(described, indent=2))
    else:
        show([row(each) for each in described], Console())


@click.command()
@click.option("--handler", "names", multiple=True, metavar="NAME", help="Enable a handler, with its options.")
def config(names: tuple[str, ...]) -> None:
    """Print a sample configuration with every option; what is not commented out has to be set."""
    found, problems = find(names)
    if problems:
        raise ConfigError("\n".join(problems))
    click.echo("\n".join(render({name: each.handler for name, each in zip(names, found, strict=True)})).rstrip())


def describe(enabled: Enabled) -> dict[str, Any]:
    handler = enabled.handler
    runs_in = enabled.runs_in
    return {
        "name": enabled.name,
        "source": enabled.source,
        "path": f"/{enabled.name}",
        "runs_in": runs_in,
        "timeout": enabled.timeout,
        "timeout_overridden": enabled.timeout != handler.timeout,
        "threads": enabled.threads if runs_in == "thread" else None,
        "routes": [f"/{enabled.name}/{route}" for route in enabled.routes],
        "description": (inspect.getdoc(type(handler)) or "").partition("\n")[0],
    }


def row(described: dict[str, Any]) -> tuple[str, ...]:
    overridden = " (configured)" if described["timeout_overridden"] else ""
    return (
        described["name"],
        f"POST {described['path']}",
        described["runs_in"],
        f"{described['timeout']:g} s{overridden}",
        str(described["threads"] or "-"),
        " ".join(described["routes"]) or "-",
        described["source"],
        described["description"],
    )


def show(rows: Sequence[tuple[str, ...]], console: Console) -> None:
    """Print a table: with lines on a terminal, and else in columns that are never cut."""
    if console.is_terminal:
        table = Table(*HEADINGS)
        for each in rows:
            table.add_row(*each)
        console.print(table)
        return
    lines = [HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
