"""A finding has its place in a file, and is one line on a terminal."""

from __future__ import annotations

from pathlib import Path

from tests.support.checking import write
from vendorsrv.check.findings import Finding, IniFile


def test_a_finding_is_one_printable_line() -> None:
    """A finding is printed as one line, without the line breaks and control characters of its file."""
    finding = Finding("error", "a.conf", 3, "vendorsrv", "port", "no\n  number:\x1b[31m")
    assert "a.conf:3: error: [vendorsrv] port: no number:?[31m" == str(finding)


def test_the_line_of_an_option_is_that_of_its_name(tmp_path: Path) -> None:
    """An option's line is that of its name, even when its value continues; section names ignore case."""
    path = write(tmp_path / "a.conf", "# first\n[Api]\na = 1\n  2\n  3\n\nb: 4\n[DEFAULT]\n;c = 5\nd = 6")
    ini = IniFile(path)
    assert {"api": 2, "DEFAULT": 8} == ini.sections
    assert {("api", "a"): [3], ("api", "b"): [7], ("DEFAULT", "d"): [10]} == ini.options


def test_a_finding_about_an_absent_option_has_the_line_of_its_section(tmp_path: Path) -> None:
    """A finding about an option that is not in the file has the line of its section, or no line without one."""
    ini = IniFile(write(tmp_path / "a.conf", "\n[api]\na = 1\n"))
    assert (2, None, None) == (
        ini.error("missing", "api", "b").line,
        ini.error("missing", "vendorsrv", "b").line,
        ini.warning("of the file").line,
    )
