"""Several --config-file: the later ones override the earlier ones, as for OpenStack's services."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from tests.support.checking import GOOD, changed, write
from tests.support.fake_keystone import FakeKeystone
from tests.support.processes import listening
from tests.support.serving import section, write_config
from vendorsrv.check.run import find_all
from vendorsrv.cli.main import main

OVERRIDES = "[vendorsrv]\nport = 9092\n[handler:mailserver]\ntimeout = 2.5\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration, and a file that overrides some of it."""
    return write(tmp_path / "vendorsrv.conf", GOOD), write(tmp_path / "host.conf", OVERRIDES)


def options(*paths: Path) -> list[str]:
    """Return the option for each file."""
    return [text for path in paths for text in ("--config-file", str(path))]


def test_a_later_file_overrides_an_earlier_one(files: tuple[Path, Path]) -> None:
    """The values of the last file are in force; an option in both is no finding, nor is one that others can read."""
    files[1].chmod(0o644)
    result = CliRunner().invoke(main, ["handlers", *options(*files)])
    assert "2.5 s (configured)" in result.stdout
    assert (0, "") == ((checked := CliRunner().invoke(main, ["check", *options(*files)])).exit_code, checked.output)


def test_each_finding_names_its_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A finding has the file and the line of the value that is in force, or of its section."""
    write(files[0], changed(GOOD, {"domain = example.org": "domian = example.org"}))
    write(files[1], "[vendorsrv]\nprot = 1\nport = 9091\n[nowhere]\nport = 9092\nport = 9093\n[handler:dns]\n")
    found = [str(each).replace(f"{tmp_path}/", "") for each in find_all(files)]
    assert [
        "vendorsrv.conf:1: error: [vendorsrv] admin_port: port is 9091 too; metrics need a port of their own",
        "vendorsrv.conf:11: error: [handler:mailserver] domain: required; The mail domain that the instances serve.",
        "vendorsrv.conf:12: error: [handler:mailserver] domian: there is no such option; did you mean domain?",
        "host.conf:2: error: [vendorsrv] prot: there is no such option; did you mean port?",
        "host.conf:4: warning: [nowhere] unknown section, which is ignored",
        "host.conf:7: warning: [handler:dns] no handler dns is enabled",
    ] == found


@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_password_may_be_elsewhere(files: tuple[Path, Path], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in a file of its own, or in an environment variable, is as good as one beside the other options."""
    write(files[0], re.sub(r"\npassword = .*", "", GOOD))
    assert "[keystone_authtoken] password: required" in CliRunner().invoke(main, ["check", *options(files[0])]).output
    if where == "environment":
        monkeypatch.setenv("OS_KEYSTONE_AUTHTOKEN__PASSWORD", "planted")
    else:
        write(files[1], "[keystone_authtoken]\npassword = planted\n").chmod(0o600)
    given = files if where == "file" else files[:1]
    result = CliRunner().invoke(main, ["check", *options(*given)])
    assert (0, "") == (result.exit_code, result.output)


def test_a_file_that_others_can_read_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    """The warning about a secret is about the file that has it."""
    write(files[1], "[keystone_authtoken]\npassword = planted\n").chmod(0o644)
    secret = "this file contains a secret, and every user of this machine can read it"
    assert [f"host.conf:2: warning: [keystone_authtoken] password: {secret}"] == [
        str(each).replace(f"{tmp_path}/", "") for each in find_all(files)
    ]


@pytest.mark.parametrize("broken", [0, 1])
def test_an_unusable_file_is_named(files: tuple[Path, Path], broken: int) -> None:
    """Of several files the one that cannot be read or parsed is named."""
    files[broken].write_text("[vendorsrv]\nplanted\n")
    result = CliRunner().invoke(main, ["handlers", *options(*files)])
    assert f"vendorsrv: {files[broken]}: line 2 is neither a section nor an option\n" == result.output
    files[broken].unlink()
    result = CliRunner().invoke(main, ["handlers", *options(*files)])
    assert f"vendorsrv: {files[broken]} does not exist or cannot be read\n" == result.output


def test_a_server_takes_several_files(tmp_path: Path) -> None:
    """The server and its workers read all files: the handler is in the first, and its timeout in the second."""
    with FakeKeystone() as keystone:
        first = write_config(tmp_path, keystone, handlers="tests.support.handlers.good:Slow", request_timeout=60)
        second = write(tmp_path / "host.conf", section("handler:slow", {"timeout": 0.01}))
        command = [sys.executable, "-m", "vendorsrv", "serve", *options(first, second)]
        says = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+) ")
        with listening(command, tmp_path / "log", says, answers=is_ready) as url:
            headers = {"X-Auth-Token": keystone.issue("service")}
            body = {"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"}
            answer = httpx.post(f"{url}/slow", json=body, headers=headers, timeout=60)
    assert (504, "handler slow gave no answer within 0.0 seconds") == (
        answer.status_code,
        answer.json()["error"]["message"],
    )


def is_ready(url: str) -> bool:
    """Whether a worker answers."""
    try:
        return httpx.get(f"{url}/-/live", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
