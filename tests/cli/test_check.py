"""vendorsrv check prints findings; its exit status says whether the configuration can be used."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.support.checking import GOOD, GOOD_NOVA, changed, write
from vendorsrv.check.run import find_all
from vendorsrv.cli.check import show
from vendorsrv.cli.main import main

ERROR = {"port": "prot"}
WARNING = {"port = 9090": "auth_timeout = 9"}


def run(folder: Path, changes: dict[str, str], *options: str) -> Result:
    """Check a good configuration that was changed."""
    path = write(folder / "vendorsrv.conf", changed(GOOD, changes))
    return CliRunner().invoke(main, ["check", "--config-file", str(path), *options])


@pytest.mark.parametrize(
    ("changes", "options", "status"),
    [
        ({}, [], 0),
        ({}, ["--strict"], 0),
        (WARNING, [], 0),
        (WARNING, ["--strict"], 1),
        (ERROR, [], 1),
        (ERROR, ["--json"], 1),
    ],
)
def test_errors_exit_with_1(tmp_path: Path, changes: dict[str, str], options: list[str], status: int) -> None:
    """The exit status is 1 with errors, and with --strict also with warnings."""
    assert status == run(tmp_path, changes, *options).exit_code


def test_each_finding_is_a_line(tmp_path: Path) -> None:
    """A finding is printed as FILE:LINE: severity: [section] option: message."""
    path = tmp_path / "vendorsrv.conf"
    assert (
        f"{path}:3: error: [vendorsrv] prot: there is no such option; did you mean port?\n"
        == run(tmp_path, ERROR).stdout
    )


def test_json_is_a_list_of_findings(tmp_path: Path) -> None:
    """--json prints a list of the findings' parts."""
    assert [
        {
            "severity": "warning",
            "file": f"{tmp_path}/vendorsrv.conf",
            "line": 3,
            "section": "vendorsrv",
            "option": "auth_timeout",
            "message": "9 s must be less than request_timeout (4.5 s)",
        }
    ] == json.loads(run(tmp_path, WARNING, "--json").stdout)


def test_a_file_that_cannot_be_read_exits_with_2(tmp_path: Path) -> None:
    """The exit status is 2 when a file cannot be read, and one line says so."""
    result = run(tmp_path, {}, "--nova-conf", "/no/nova.conf")
    assert (2, "", "vendorsrv: /no/nova.conf does not exist or cannot be read\n") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )


def test_no_secret_is_printed(tmp_path: Path) -> None:
    """Findings about a secret do not contain its value."""
    nova = write(tmp_path / "nova.conf", changed(GOOD_NOVA, {"password = planted": "password = plan$planted"}))
    broken = {"password = planted": "password = planted$planted\npasword = planted", "[handler:": "[x]\n[handler:"}
    result = run(tmp_path, broken, "--nova-conf", str(nova))
    assert (4, 0) == (len(result.stdout.splitlines()), result.stdout.count("planted"))


def test_a_terminal_gets_colours_and_totals(tmp_path: Path) -> None:
    """On a terminal the severities are coloured, and the last line has the totals."""
    path = write(tmp_path / "a.conf", changed(GOOD, {**ERROR, "username": "timeout = 1\nusername"}))
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=20)
    show(find_all(path), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert (
        f"{path}:3:\x1b[1;31m error: \x1b[0m[vendorsrv] prot: there is no such option; did you mean port?" == lines[0]
    )
    assert "2 errors, 0 warnings" in lines[-1]
