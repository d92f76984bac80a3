"""Rows are a table on a terminal, and columns otherwise."""

from __future__ import annotations

import io

from rich.console import Console

from vendorsrv.tables import show_table

HEADINGS = ("instance", "handler")
ROWS = [("a" * 36, "[mail]"), ("b", "")]


def test_piped_rows_are_whole_columns() -> None:
    """Without a terminal each row is one line, however narrow the console is, and no line ends in spaces."""
    out = io.StringIO()
    show_table(HEADINGS, ROWS, Console(file=out, width=10), ["red", ""])
    assert [f"instance{' ' * 30}handler", f"{'a' * 36}  [mail]", "b"] == out.getvalue().splitlines()


def test_a_terminal_gets_a_table() -> None:
    """On a terminal a wide cell continues on the next line: nothing is cut, and nothing is read as markup."""
    out = io.StringIO()
    show_table(HEADINGS, ROWS, Console(file=out, force_terminal=True, color_system=None, width=30))
    text = out.getvalue()
    assert (39, True, False) == (text.count("a"), "│ [mail] " in text, "…" in text)


def test_a_row_has_its_style_on_a_terminal() -> None:
    """A row's style colours its cells, and those of no other row."""
    out = io.StringIO()
    show_table(HEADINGS, ROWS, Console(file=out, force_terminal=True, color_system="standard", width=80), ["red", ""])
    assert (True, False) == ("\x1b[31m[mail]" in out.getvalue(), "\x1b[31mb" in out.getvalue())
