"""``python -m tests.bench [--json] [NAME …]``, as ``make bench`` runs it: every benchmark, or some."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from tests.bench import keeping

BENCHMARKS = {"keeping": keeping.report}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(BENCHMARKS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for keeping.")
def main(names: tuple[str, ...], as_json: bool) -> None:
    """Measure contenders in one run, and print what one costs in terms of another."""
    found = {name: BENCHMARKS[name]() for name in names or BENCHMARKS}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, rows in found.items():
        table = Table(*rows[0], title=name, box=None)
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)


main()
