"""The sample configuration explains every option and can be read by oslo.config's own generator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.handlers.checked import Guarded
from vendorsrv.check.sample import render


def test_an_option_is_explained_above_its_default() -> None:
    """Help, kind, limits and choices; what is required is not commented out."""
    lines = list(render({"tests.support.handlers.checked:Guarded": Guarded}))
    start = lines.index("[handler:guarded]")
    assert [
        "[handler:guarded]",
        "",
        "# Digits. (string value)",
        "#code =",
        "",
        "# Racks, one a line. (multi valued)",
        "#rack =",
        "",
        "# The row. (string value, one of a, b, deprecated)",
        "#row =",
        "",
        "# (string value)",
        "#address = ADDRESS",
    ] == lines[start : start + 13]


def test_options_of_any_handler_are_shown_when_none_is_named() -> None:
    """Where they go is a comment, since there is no handler of this name."""
    lines = list(render({}))
    start = lines.index("# [handler:NAME]")
    assert "# # Seconds for one answer; by default the value that the handler's class declares." in lines[start + 2]


def test_the_usual_generator_knows_the_options(tmp_path: Path) -> None:
    """`oslo-config-generator --namespace vendorsrv` finds them by the entry point, the account's among them."""
    path = tmp_path / "sample.conf"
    program = "from oslo_config.generator import main; main()"
    subprocess.run([sys.executable, "-c", program, "--namespace", "vendorsrv", "--output-file", str(path)], check=True)
    lines = path.read_text().splitlines()
    assert {"[vendorsrv]", "[keystone_authtoken]", "[handler:name]", "#auth_url = <None>"} <= set(lines)
