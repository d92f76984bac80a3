"""``python -m bench [NAME …]``, as ``make bench`` runs it: every benchmark, or some."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from bench import five, growth, hot_path, instructions, keeping, machine, reads, scaling, single_flight, throughput
from bench.effort import EFFORT, QUICK
from tests.support import real_peers as peers
from vendorsrv.errors import VendordataError
from vendorsrv.tables import show_columns

Rows = list[dict[str, object]]

#: Each prints ratios, or what is counted; rows that something is asked of have ``goal`` and ``reached``.
BENCHMARKS: Final[dict[str, Callable[[], Rows]]] = {
    "throughput": throughput.report,
    "hot-path": hot_path.report,
    "instructions": instructions.report,
    "reads": reads.report,
    "single-flight": single_flight.report,
    "five": five.report,
    "keeping": keeping.report,
    "growth": growth.report,
    "scaling": scaling.report,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="Some seconds of each, to see that it works; the figures say little.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for keeping.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print tables as docs/performance.md has them.")
@click.option("--from", "kept", type=click.Path(exists=True, path_type=Path), help="Show a kept JSON; measure nothing.")
def main(names: tuple[str, ...], quick: bool, as_json: bool, as_markdown: bool, kept: Path | None) -> None:
    """Measure contenders in one run, and print what one costs in terms of another."""
    found = json.loads(kept.read_text()) if kept else measured(names or tuple(BENCHMARKS), quick=quick)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif as_markdown:
        click.echo(markdown(found))
    else:
        show(found)


def measured(names: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Run benchmarks one after the other, and give what is kept of them: the machine, and the rows of each."""
    if quick:
        EFFORT.set(QUICK)
    effort = EFFORT.get()
    kind = {**machine.kind(), "effort": f"{effort.rounds} rounds of {effort.seconds} s"}
    benchmarks = {name: rows_of(name) for name in names}
    return {"machine": {**kind, "databases": peers.RAN}, "benchmarks": benchmarks}


def rows_of(name: str) -> Rows:
    """Run one benchmark. When it cannot be run its row says why: an hour's other figures are not lost for it."""
    click.echo(f"Measuring {name}", err=True)
    try:
        return BENCHMARKS[name]()
    except (AssertionError, OSError, SQLAlchemyError, VendordataError, subprocess.SubprocessError) as error:
        click.echo(f"{name}: {str(error)[-1000:]}", err=True)
        return [{"what": name, "reached": f"not measured: {type(error).__name__}"}]


def show(found: dict[str, Any]) -> None:
    """Print everything in columns that are never cut; what the storm printed, which has no machine, as well."""
    for name, value in found.get("machine", {}).items():
        click.echo(f"{name}: {shown(value)}")
    for name, rows in found.get("benchmarks", found).items():
        click.echo(f"\n{name}")
        headings = columns(rows)
        show_columns(headings, [[shown(row.get(each, "")) for each in headings] for row in rows], Console())


def markdown(found: dict[str, Any]) -> str:
    """Give the same as the page has it."""
    lines = [f"- {name}: {shown(value)}" for name, value in found.get("machine", {}).items()]
    for name, rows in found.get("benchmarks", found).items():
        headings = columns(rows)
        lines += ["", f"### {name}", "", line(headings), f"|{'---|' * len(headings)}"]
        lines += [line([shown(row.get(each, "")) for each in headings]) for row in rows]
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """Give a table's line."""
    return f"| {' | '.join(cells)} |"


def columns(rows: Rows) -> list[str]:
    """Give the columns that any of the rows has, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row))


def shown(value: object) -> str:
    """Give a value in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)


if __name__ == "__main__":
    main()
