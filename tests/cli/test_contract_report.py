"""The report of a contract run as people read it: columns in a pipe, a table in colour on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vendorsrv.cli.contract import show_report
from vendorsrv.contract import Report, Verdict
from vendorsrv.contract.case import Severity
from vendorsrv.contract.suite import CASES, Outcome

RED, GREEN, YELLOW, CYAN, DIM = "\x1b[1;31m", "\x1b[1;32m", "\x1b[33m", "\x1b[36m", "\x1b[2m"


def verdict(severity: Severity, outcome: Outcome, found: str = "") -> Verdict:
    """Return a verdict on the first case of a severity."""
    case = next(case for case in CASES if case.severity == severity)
    return Verdict(case, outcome, found, None, 0.1)


def shown(*verdicts: Verdict, strict: bool = False, terminal: bool = True) -> list[str]:
    """Return the lines that a console gets for some verdicts."""
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=terminal, color_system="standard" if terminal else None)
    show_report(Report("http://h/x", "x", verdicts, 7, 1.25), console, strict=strict)
    return out.getvalue().splitlines()


def test_a_piped_report_is_columns_explanations_and_totals() -> None:
    """Without a terminal the report is plain text: a line a case, each failure explained, and the totals last."""
    lines = shown(verdict("must", "failed", "no token is let in"), verdict("info", "passed"), terminal=False)
    assert [
        "case             severity  outcome  found",
        "caller-no-token  must      failed   no token is let in",
        "body-get         info      passed",
        "",
        "caller-no-token (must): A request without a token is refused: failed: no token is let in.",
    ] == lines[:5]
    assert (
        "http://h/x: 2 cases: 1 passed, 1 failed (1 must, 0 should, 0 info), 0 not tested; 7 requests in 1.2 s"
        == lines[-1]
    )


@pytest.mark.parametrize(
    ("severity", "outcome", "colour"),
    [("must", "failed", RED), ("should", "failed", YELLOW), ("info", "failed", CYAN), ("must", "not tested", DIM)],
)
def test_what_needs_attention_has_a_colour_on_a_terminal(severity: Severity, outcome: Outcome, colour: str) -> None:
    """A failed case has the colour of its severity, and one that was not tested is dim."""
    (row,) = [line for line in shown(verdict(severity, outcome)) if line.startswith("│")]
    assert f"{colour}{outcome}" in row


def test_a_passed_case_has_no_colour() -> None:
    """Only the totals of a run that passed are coloured: green."""
    lines = shown(verdict("must", "passed"))
    assert [] == [line for line in lines if line.startswith("│") and "\x1b[" in line]
    assert lines[-1].startswith(GREEN)


@pytest.mark.parametrize(("strict", "colour"), [(False, GREEN), (True, RED)])
def test_the_totals_are_red_when_the_run_does_not_pass(strict: bool, colour: str) -> None:
    """A failed should makes the totals red only with --strict, as it makes the exit status 1."""
    assert shown(verdict("should", "failed"), strict=strict)[-1].startswith(colour)
