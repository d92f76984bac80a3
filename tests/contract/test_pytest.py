"""The contract's cases as a vendor's own tests, in a pytest process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support import real_peers as peers
from tests.support.faulty import NOVA, error, serving
from vendorsrv.contract.pytest import contract_tests
from vendorsrv.errors import ConfigError

ONE_LINE = """\
from vendorsrv.contract.pytest import contract_tests
test_contract = contract_tests("URL")
"""
FIXTURE = f"""\
import pytest
from vendorsrv.contract import Subject
from vendorsrv.contract.pytest import contract_tests

@pytest.fixture(params=["first", "second"])
def server(request):
    return Subject(f"{{request.param}}@URL", caller="{NOVA}")

test_contract = contract_tests("server", only=["caller", "answer-status"], strict=STRICT)
"""


INI = """\
[pytest]
filterwarnings =
    error
    ignore:'cgi' is deprecated:DeprecationWarning
"""


def outcomes(text: str, directory: Path) -> dict[str, str]:
    """Run a file of tests, and return the outcome of each."""
    peers.skip_if_unit()
    (directory / "test_rack.py").write_text(text)
    (directory / "pytest.ini").write_text(INI)
    report = directory / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", str(directory)]
    subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314  pytest's own
    return {case.get("name", ""): outcome(case) for case in cases}


def outcome(case: ElementTree.Element) -> str:
    """Return the outcome of one test, with its message."""
    found = next((child for child in case if child.tag in {"failure", "skipped", "error"}), None)
    if found is None:
        return "passed"
    kind = (found.get("type") or "").removeprefix("pytest.") if found.tag == "skipped" else found.tag
    return f"{kind}: {found.get('message')}"


def test_one_line_makes_a_test_of_each_case(tmp_path: Path) -> None:
    """Without credentials, testable cases pass and the others are skipped with the reason."""
    with serving() as url:
        found = outcomes(ONE_LINE.replace("URL", url), tmp_path)
    assert (52, "passed") == (len(found), found["test_contract[caller-no-token]"])
    assert found["test_contract[caller-valid-token]"].startswith("skip: this needs a valid token: give the credentials")


@pytest.mark.parametrize("strict", [False, True])
def test_a_fixture_can_start_the_server(strict: bool, tmp_path: Path) -> None:
    """A fixture can return the server; a failed must fails, a failed should is xfail or fails when strict."""
    with serving(lambda asked, usual: error(401) if usual.status == 401 or asked.good else usual) as url:
        found = outcomes(FIXTURE.replace("URL", url).replace("STRICT", str(strict)), tmp_path)
    assert 20 == len(found)
    assert found["test_contract[second-caller-valid-token]"].startswith("failure: Failed: caller-valid-token (must): ")
    assert found["test_contract[first-caller-challenge]"].startswith(
        "failure: Failed: caller-challenge (should): " if strict else "xfail: there is no WWW-Authenticate header"
    )
    assert "passed" == found["test_contract[first-caller-no-token]"]


def test_an_unknown_case_is_an_error_at_collection() -> None:
    """An unknown id raises ConfigError before any test runs."""
    with pytest.raises(ConfigError, match=r"^there is no case again-sane; did you mean again-same\?$"):
        contract_tests("http://127.0.0.1:9090/mail", skip=["again-sane"])
