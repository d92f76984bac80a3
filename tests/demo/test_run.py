"""The demo's failures and the command line that it suggests; tests/peers/test_demo.py runs the whole demo."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import uvicorn
from keystoneauth1.session import Session

from vendorsrv.demo.run import boot, serve_and_boot, this_command
from vendorsrv.errors import ConfigError
from vendorsrv.nova.credentials import anonymous


def test_a_dropped_answer_ends_the_demo() -> None:
    """The demo ends with the reason when Nova would drop an answer."""
    with pytest.raises(ConfigError, match=r"^Nova would drop the answer: "):
        boot(anonymous(), "http://127.0.0.1:9/mailserver", "member", lambda _: None)


def test_a_server_that_does_not_start_ends_the_demo() -> None:
    """The demo ends when its server does not start, and refers to the server's log."""

    async def broken(scope: object, receive: object, send: object) -> None:
        raise RuntimeError(f"broken: {scope}, {receive}, {send}")

    server = uvicorn.Server(uvicorn.Config(broken, lifespan="on", port=0, log_config=None))
    with pytest.raises(ConfigError, match=r"^the server did not start; the lines above say why$"):
        asyncio.run(serve_and_boot(server, Session(), lambda _: None, lambda _: None, None))


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("{folder}/.venv/bin/vendorsrv", ".venv/bin/vendorsrv"),
        (".venv/bin/vendorsrv", ".venv/bin/vendorsrv"),
        ("vendorsrv", "{folder}/vendorsrv"),
        ("/opt/vendor data/bin/vendorsrv", "'/opt/vendor data/bin/vendorsrv'"),
        ("/opt/vendorsrv/__main__.py", f"{sys.executable} -m vendorsrv"),
    ],
)
def test_the_suggested_command_has_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, command: str
) -> None:
    """The suggested command is found without a PATH, from the folder in which the demo was started."""
    monkeypatch.chdir(tmp_path)
    assert command.format(folder=tmp_path) == this_command(program.format(folder=tmp_path))
