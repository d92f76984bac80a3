"""The command's own words, and what the demo says when it cannot go on."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner
from keystoneauth1.session import Session

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running, write_config
from vendorsrv import ConfigError
from vendorsrv.cli.main import main
from vendorsrv.demo.run import boot, serve_and_boot
from vendorsrv.nova.credentials import anonymous


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


def test_the_demo_says_when_nova_would_not_keep_the_answer() -> None:
    """Nobody answers there."""
    with pytest.raises(ConfigError, match=r"^Nova would not keep the answer: "):
        boot(anonymous(), "http://127.0.0.1:9", "member", lambda _: None)


def test_the_demo_says_when_its_server_does_not_start() -> None:
    """The lines above say why."""

    async def broken(scope: object, receive: object, send: object) -> None:
        raise RuntimeError(f"broken: {scope}, {receive}, {send}")

    server = uvicorn.Server(uvicorn.Config(broken, lifespan="on", port=0, log_config=None))
    with pytest.raises(ConfigError, match=r"^the server did not start"):
        asyncio.run(serve_and_boot(server, Session(), lambda _: None, lambda _: None, None))


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
