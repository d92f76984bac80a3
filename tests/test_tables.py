"""Rows of text for people."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vendorsrv.tables import show_table

HEADINGS = ("instance", "handler")
ROWS = [("a" * 36, "[mail]"), ("b", "")]


def test_what_is_piped_has_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """No width is too small for them, and no line ends in spaces."""
    show_table(HEADINGS, ROWS, Console(file=io.StringIO(), width=10))
    assert [f"instance{' ' * 30}handler", f"{'a' * 36}  [mail]", "b"] == capsys.readouterr().out.splitlines()


def test_a_terminal_gets_a_table() -> None:
    """What is too wide goes on in the next line; nothing is cut, and nothing is taken for a style."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=30)
    show_table(HEADINGS, ROWS, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert (39, True, False) == (text.count("a"), "│ [mail] " in text, "…" in text)
