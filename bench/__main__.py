"""``python -m bench [NAME …]``, which ``make bench`` runs: all benchmarks, or those that are named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from bench import (
    facts,
    five,
    growth,
    hot_path,
    instructions,
    keeping,
    machine,
    reads,
    scaling,
    single_flight,
    stops,
    strangers,
    throughput,
)
from bench.effort import EFFORT, QUICK
from tests.support import real_peers as peers
from vendorsrv.errors import VendordataError
from vendorsrv.tables import show_columns

Rows = list[dict[str, object]]

#: Each returns one row for a figure; a figure with a goal has it in ``goal``, and the verdict in ``reached``.
BENCHMARKS: Final[dict[str, Callable[[], Rows]]] = {
    "throughput": throughput.report,
    "hot-path": hot_path.report,
    "facts": facts.report,
    "instructions": instructions.report,
    "reads": reads.report,
    "single-flight": single_flight.report,
    "five": five.report,
    "keeping": keeping.report,
    "growth": growth.report,
    "scaling": scaling.report,
    "stops": stops.report,
    "strangers": strangers.report,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option(
    "--quick", is_flag=True, help="Run each for a few seconds, to check that it works; the figures are rough."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, to store the figures.")
@click.option(
    "--markdown", "as_markdown", is_flag=True, help="Print the tables of docs/performance.md and docs/security.md."
)
@click.option(
    "--from",
    "stored",
    type=click.Path(exists=True, path_type=Path),
    help="Print the figures of a stored JSON file instead of measuring.",
)
def main(names: tuple[str, ...], quick: bool, as_json: bool, as_markdown: bool, stored: Path | None) -> None:
    """Run benchmarks, and print their figures; contenders of one run are compared with each other."""
    found = json.loads(stored.read_text()) if stored else run_benchmarks(names or tuple(BENCHMARKS), quick=quick)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif as_markdown:
        click.echo(markdown(found))
    else:
        show(found)


def run_benchmarks(names: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Run benchmarks one after the other, and return the machine's description and the rows of each."""
    if quick:
        EFFORT.set(QUICK)
    effort = EFFORT.get()
    description = {**machine.describe(), "effort": f"{effort.rounds} rounds of {effort.seconds} s"}
    benchmarks = {name: rows_of(name) for name in names}
    return {"machine": {**description, "databases": peers.RAN}, "benchmarks": benchmarks}


def rows_of(name: str) -> Rows:
    """Run one benchmark; when it fails, its only row says why, so that the other benchmarks' figures are kept."""
    click.echo(f"Measuring {name}", err=True)
    try:
        return BENCHMARKS[name]()
    except (AssertionError, OSError, SQLAlchemyError, VendordataError, subprocess.SubprocessError) as error:
        click.echo(f"{name}: {str(error)[-1000:]}", err=True)
        return [{"what": name, "reached": f"not measured: {type(error).__name__}"}]


def show(found: dict[str, Any]) -> None:
    """Print all figures in columns that are never cut."""
    for name, value in found.get("machine", {}).items():
        click.echo(f"{name}: {to_text(value)}")
    for name, rows in found.get("benchmarks", found).items():
        click.echo(f"\n{name}")
        headings = columns(rows)
        show_columns(headings, [[to_text(row.get(each, "")) for each in headings] for row in rows], Console())


def markdown(found: dict[str, Any]) -> str:
    """Return all figures as Markdown."""
    lines = [f"- {name}: {to_text(value)}" for name, value in found.get("machine", {}).items()]
    for name, rows in found.get("benchmarks", found).items():
        headings = columns(rows)
        lines += ["", f"### {name}", "", line(headings), f"|{'---|' * len(headings)}"]
        lines += [line([to_text(row.get(each, "")) for each in headings]) for row in rows]
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def columns(rows: Rows) -> list[str]:
    """Return the names of all columns, in the order of their first use."""
    return list(dict.fromkeys(name for row in rows for name in row))


def to_text(value: object) -> str:
    """Return a value as one line of text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)


if __name__ == "__main__":
    main()
