"""Rows of text for people: a table on a terminal, plain columns everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Sequence[str]


def show_table(headings: Row, rows: Sequence[Row], console: Console, styles: Sequence[str] = ()) -> None:
    """Print rows: as a table with lines on a terminal, and as columns otherwise.

    :param styles: the style of each row on a terminal; none by default.
    """
    if not console.is_terminal:
        show_columns(headings, rows, console)
        return
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*map(Text, row), style=style)
    console.print(table)


def show_columns(headings: Row, rows: Sequence[Row], console: Console) -> None:
    """Print a line for each row, with two spaces between the columns; nothing is cut or wrapped."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        console.file.write(f"{'  '.join(cells).rstrip()}\n")
