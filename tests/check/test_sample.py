"""The sample configuration explains every option, and oslo.config's own generator can write one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import real_peers as peers
from tests.support.handlers.checked import Guarded
from vendorsrv.check.sample import render_sample


def test_an_option_is_explained_above_its_default() -> None:
    """Help, type, limits and choices stand above each option, and required options are not commented out."""
    lines = list(render_sample({"tests.support.handlers.checked:Guarded": Guarded}))
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


def test_a_sample_without_handlers_shows_the_common_options_as_comments() -> None:
    """Without handlers, the options that every handler has are in a section that is commented out."""
    lines = list(render_sample({}))
    start = lines.index("# [handler:NAME]")
    assert "# # Seconds for one answer; by default the value that the handler's class declares." in lines[start + 2]


def test_a_sample_has_the_account_of_facts_as_comments() -> None:
    """The options of [facts] and [service_account] are explained; those that the account needs come first."""
    lines = list(render_sample({}))
    facts, account, end = (lines.index(name) for name in ("[facts]", "[service_account]", "[database]"))
    options = [line for line in lines[account:end] if not line.startswith("# ")]
    assert "#keep_for = 15.0" in lines[facts:account]
    assert [
        *("[service_account]", "", "#auth_type = password", "", "#auth_url = https://keystone.example.org:5000/v3"),
        *("", "#username = vendorsrv-facts", "", "#password = CHANGE-ME", "", "#user_domain_name = Default"),
    ] == options[:11]
    assert [] == [line for line in lines[facts:end] if line and line[0] not in "#["]


def test_oslo_config_generator_knows_the_options(tmp_path: Path) -> None:
    """`oslo-config-generator --namespace vendorsrv` writes the options of all sections, also the account's."""
    path = tmp_path / "sample.conf"
    program = "from oslo_config.generator import main; main()"
    peers.skip_if_unit()
    subprocess.run([sys.executable, "-c", program, "--namespace", "vendorsrv", "--output-file", str(path)], check=True)
    lines = path.read_text().splitlines()
    assert {"[vendorsrv]", "[keystone_authtoken]", "[handler:name]", "#auth_url = <None>"} <= set(lines)
    assert {"[facts]", "#keep_for = 15.0", "[service_account]"} <= set(lines)
