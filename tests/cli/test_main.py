"""The command's own words, and what the demo says when it cannot go on."""

from __future__ import annotations

import importlib
from pathlib import Path

from click.testing import CliRunner

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running, write_config
from vendorsrv.cli.main import main


def test_help_lists_the_commands() -> None:
    """Sorted."""
    done = CliRunner().invoke(main, ["--help"])
    listed = [line.split()[0] for line in done.output.partition("Commands:")[2].splitlines() if line.strip()]
    assert "call" == listed[0]
    assert sorted(listed) == listed


def test_a_command_that_is_none() -> None:
    """Is a mistake of the caller's: status 2."""
    done = CliRunner().invoke(main, ["serv"])
    assert (2, True) == (done.exit_code, "No such command 'serv'" in done.output)


def test_the_module_runs_nothing_when_it_is_imported() -> None:
    """As spawned workers import it."""
    assert main is importlib.import_module("vendorsrv.__main__").main


def test_what_holds_only_for_now_is_answered_and_not_pinned(tmp_path: Path, fake: FakeKeystone) -> None:
    """Nova gets the handler's answer for now."""
    sections = f"[database]\nconnection = sqlite:///{tmp_path}/pins.db\n"
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.undecided:Undecided", sections=sections)
    with running(config) as server:
        response = server.ask("/undecided", fake.issue("service"))
    assert (200, {"wait": True}, "no-store") == (
        response.status_code,
        response.json(),
        response.headers["cache-control"],
    )
