"""docs/contract.md is what the code generates."""

from __future__ import annotations

import subprocess
import sys

from scripts import contract_docs
from tests.support.pages import anchors, page
from vendorsrv.contract.suite import CASES


def test_the_page_is_up_to_date() -> None:
    """Make it anew with this command, whose output goes to docs/contract.md."""
    done = subprocess.run([sys.executable, "-m", "scripts.contract_docs"], capture_output=True, text=True, check=True)
    assert page("contract").read_text() == done.stdout


def test_the_page_can_be_made_in_a_program() -> None:
    """Without a process of its own."""
    assert contract_docs.page() == page("contract").read_text()


def test_every_case_can_be_linked_to() -> None:
    """By its id."""
    assert {case.id for case in CASES} <= anchors(page("contract"))
