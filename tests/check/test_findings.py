"""Findings have their place in a file, and one line on a terminal."""

from __future__ import annotations

from pathlib import Path

from tests.support.checking import write
from vendorsrv.check.findings import Finding, IniFile


def test_a_finding_is_one_printable_line() -> None:
    """Line breaks and control characters of a file do not reach the terminal."""
    finding = Finding("error", "a.conf", 3, "vendorsrv", "port", "no\n  number:\x1b[31m")
    assert "a.conf:3: error: [vendorsrv] port: no number:?[31m" == str(finding)


def test_lines_are_those_of_the_keys(tmp_path: Path) -> None:
    """Values may go on over many lines, and names of sections are compared without their case."""
    path = write(tmp_path / "a.conf", "# first\n[Api]\na = 1\n  2\n  3\n\nb: 4\n[DEFAULT]\n;c = 5\nd = 6")
    ini = IniFile(path)
    assert {"api": 2, "DEFAULT": 8} == ini.sections
    assert {("api", "a"): [3], ("api", "b"): [7], ("DEFAULT", "d"): [10]} == ini.options


def test_a_finding_about_what_the_file_lacks_has_the_line_of_its_section(tmp_path: Path) -> None:
    """The section is where it has to be put; without one there is no line."""
    ini = IniFile(write(tmp_path / "a.conf", "\n[api]\na = 1\n"))
    assert (2, None, None) == (
        ini.error("missing", "api", "b").line,
        ini.error("missing", "vendorsrv", "b").line,
        ini.warning("of the file").line,
    )
