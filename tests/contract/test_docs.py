"""docs/contract.md is generated from the cases."""

from __future__ import annotations

import subprocess
import sys

from scripts import contract_docs
from tests.support import real_peers as peers
from tests.support.pages import anchors, page
from vendorsrv.contract.suite import CASES


def test_the_page_is_up_to_date() -> None:
    """docs/contract.md is the output of `python -m scripts.contract_docs`."""
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-m", "scripts.contract_docs"], capture_output=True, text=True, check=True)
    assert page("contract").read_text() == done.stdout


def test_the_page_can_be_made_in_a_program() -> None:
    """scripts.contract_docs.page returns docs/contract.md."""
    assert contract_docs.page() == page("contract").read_text()


def test_every_case_has_an_anchor() -> None:
    """docs/contract.md has an anchor for each case: its id."""
    assert {case.id for case in CASES} <= anchors(page("contract"))
