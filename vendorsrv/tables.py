"""Rows of text for people: a table on a terminal, and columns that are never cut for everything else."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Sequence[str]


def show_table(headings: Row, rows: Sequence[Row], console: Console) -> None:
    """Print rows, in a table with lines if the console is a terminal."""
    if not console.is_terminal:
        show_columns(headings, rows)
        return
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def show_columns(headings: Row, rows: Sequence[Row]) -> None:
    """Print a line for each row, two spaces between the columns."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
