"""A run of the contract, printed for people."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from vendorsrv.contract.case import Case, Severity
from vendorsrv.contract.report import explain, summary
from vendorsrv.contract.suite import Report, Verdict
from vendorsrv.tables import show_table

HEADINGS: Final = ("case", "severity", "outcome", "found")
FAILED: Final[dict[Severity, str]] = {"must": "bold red", "should": "yellow", "info": "cyan"}


def show_report(report: Report, console: Console, *, strict: bool = False) -> None:
    """Print a row for each case, an explanation of each failure, and the totals; in colour on a terminal.

    :param strict: a failed ``should`` counts, so the totals are red.
    """
    rows = [(each.case.id, each.case.severity, each.outcome, each.found) for each in report.verdicts]
    show_table(HEADINGS, rows, console, [style_of(verdict) for verdict in report.verdicts])
    for verdict in report.failures():
        console.print()
        first, *others = explain(verdict)
        console.print(Text(first, style=style_of(verdict)), soft_wrap=True)
        for line in others:
            console.print(Text(line), soft_wrap=True)
    console.print()
    style = "bold green" if report.passes(strict=strict) else "bold red"
    console.print(Text(summary(report), style=style), soft_wrap=True)


def show_cases(cases: list[Case], console: Console) -> None:
    """Print the cases that can be tried."""
    headings = ("case", "severity", "what a good server does")
    show_table(headings, [(case.id, case.severity, case.title) for case in cases], console)


def style_of(verdict: Verdict) -> str:
    """Return the colour of a row: a failure by its severity; what was not tested is dim."""
    if verdict.outcome == "failed":
        return FAILED[verdict.case.severity]
    return "dim" if verdict.outcome == "not tested" else ""
