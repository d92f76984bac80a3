"""The vendorsrv command itself: its list of commands and its exit status."""

from __future__ import annotations

import importlib
from pathlib import Path

from click.testing import CliRunner

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running, write_config
from vendorsrv.cli.main import main


def test_help_lists_the_commands() -> None:
    """--help lists the commands, sorted."""
    done = CliRunner().invoke(main, ["--help"])
    listed = [line.split()[0] for line in done.output.partition("Commands:")[2].splitlines() if line.strip()]
    assert "call" == listed[0]
    assert sorted(listed) == listed


def test_an_unknown_command_exits_with_2() -> None:
    """The exit status is 2 for an unknown command."""
    done = CliRunner().invoke(main, ["serv"])
    assert (2, True) == (done.exit_code, "No such command 'serv'" in done.output)


def test_importing_the_main_module_runs_nothing() -> None:
    """Importing vendorsrv.__main__ does not run the command."""
    assert main is importlib.import_module("vendorsrv.__main__").main


def test_a_provisional_answer_is_not_pinned(tmp_path: Path, fake: FakeKeystone) -> None:
    """Nova gets a provisional answer with no-store, and it is not pinned."""
    sections = f"[database]\nconnection = sqlite:///{tmp_path}/pins.db\n"
    config = write_config(tmp_path, fake, handlers="tests.support.handlers.undecided:Undecided", sections=sections)
    with running(config) as server:
        response = server.ask("/undecided", fake.issue("service"))
    assert (200, {"wait": True}, "no-store") == (
        response.status_code,
        response.json(),
        response.headers["cache-control"],
    )
