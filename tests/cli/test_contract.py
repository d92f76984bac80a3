"""vendorsrv contract prints a report; its exit status says whether everything that counts passed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tests.support.faulty import NOVA, error, serving, well
from tests.support.serving import free_port
from vendorsrv.cli.main import main


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))


@pytest.fixture
def url() -> Iterator[str]:
    """A server without authentication, whose errors for strangers would be good; it lacks a request id for a GET."""
    with serving(lambda asked, _: well(asked._replace(token=NOVA))) as base:
        yield f"{base}/mail"


def run(*args: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["contract", *args])


def test_a_failed_must_exits_with_1(url: str) -> None:
    """The exit status is 1 when a must failed; the report is on standard output."""
    done = run(url)
    assert "caller-no-token          must      failed      no token is accepted" in done.stdout.splitlines()
    assert (1, "") == (done.exit_code, done.stderr)


def test_a_run_without_failures_that_count_exits_with_0(url: str) -> None:
    """The exit status is 0 when no case that counts failed; skipped cases do not count."""
    assert 0 == run(url, "--skip", "caller", "--strict").exit_code


def test_a_should_counts_when_strict() -> None:
    """A failed should makes the exit status 1 only with --strict."""
    with serving(lambda _, usual: error(401) if usual.status == 401 else usual) as base:
        assert [0, 1] == [run(base, "--only", "caller", *more).exit_code for more in ([], ["--strict"])]


def test_json_is_one_object(url: str) -> None:
    """--json prints the report as one object and nothing else."""
    done = run(url, "--json", "--only", "answer-json", "--name", "rack")
    found = json.loads(done.stdout)
    assert ("rack", True, ["answer-json"], 0) == (
        found["name"],
        found["passes"],
        [case["id"] for case in found["cases"]],
        done.exit_code,
    )


def test_junit_is_written_beside_the_report(url: str, tmp_path: Path) -> None:
    """--junit writes JUnit XML to a file, beside the printed report."""
    done = run(url, "--only", "caller-no-token", "--junit", str(tmp_path / "contract.xml"))
    root = ElementTree.parse(tmp_path / "contract.xml").getroot()  # noqa: S314  our own
    assert ("1", 1) == (root.get("failures"), done.exit_code)


def test_an_unwritable_junit_file_exits_with_2(url: str, tmp_path: Path) -> None:
    """When the JUnit file cannot be written, the report is printed and the exit status is 2."""
    path = tmp_path / "nowhere" / "contract.xml"
    done = run(url, "--only", "caller-no-token", "--junit", str(path))
    assert "caller-no-token (must): A request without a token is refused: failed" in done.stdout
    assert (2, f"vendorsrv: {path} cannot be written\n") == (done.exit_code, done.stderr)


def test_a_given_body_is_used_for_its_instance_alone(url: str, tmp_path: Path) -> None:
    """With an instance-id in --payload, no other instance is used."""
    (tmp_path / "body.json").write_text('{"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"}')
    done = run(url, "--payload", str(tmp_path / "body.json"), "--only", "again-other-instance", "--json")
    assert "only the given instance is used" == json.loads(done.stdout)["cases"][0]["found"]


def test_list_prints_all_cases() -> None:
    """--list prints every case without calling a server."""
    done = run("--list")
    assert "caller-no-token          must      A request without a token is refused" in done.stdout.splitlines()
    assert (0, 53) == (done.exit_code, len(done.stdout.splitlines()))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["mail"], "mail is neither an http:// or https:// URL nor NAME@URL"),
        (["http://127.0.0.1:9/", "--only", "cloudinit"], "there is no case cloudinit; did you mean cloud-init?"),
        (
            ["http://127.0.0.1:9/", "--only", "again-same", "--skip", "again"],
            "no case is left: --skip excludes all of them",
        ),
        (["http://127.0.0.1:9/", "--os-cloud", "zz"], "the credentials cannot be used: Cloud zz was not found."),
        (["http://127.0.0.1:9/", "--tenant-os-cloud", "zz"], "the credentials cannot be used: Cloud zz was not found."),
        (
            ["http://127.0.0.1:9/", "--anonymous", "--os-cloud", "a"],
            "only one of --os-cloud, --nova-conf and --anonymous can be given",
        ),
    ],
)
def test_a_mistake_exits_with_2(args: list[str], message: str) -> None:
    """A mistake in the arguments is one line on standard error, and the exit status is 2."""
    done = run(*args)
    assert (2, "", f"vendorsrv: {message}\n") == (done.exit_code, done.stdout, done.stderr)


def test_incomplete_os_variables_are_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OS_* variables that are incomplete are an error."""
    monkeypatch.setenv("OS_USERNAME", "nova")
    assert "vendorsrv: OS_AUTH_URL is not set: " in run(url).stderr


def test_oslo_config_variables_are_not_credentials(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that sets an option, OS_GROUP__OPTION, is not taken for credentials."""
    monkeypatch.setenv("OS_VENDORSRV__PORT", "9090")
    assert 0 == run(url, "--only", "answer-json").exit_code


def test_an_absent_ca_file_exits_with_2() -> None:
    """An absent CA file is one line on standard error, and the exit status is 2."""
    done = run("https://127.0.0.1:9/", "--ssl-certfile", "/nowhere")
    assert "vendorsrv: https://127.0.0.1:9/ cannot be called: Could not find a suitable TLS CA" in done.stderr
    assert 2 == done.exit_code


def test_a_refused_connection_exits_with_2() -> None:
    """The exit status is 2 when no connection to the server can be made."""
    done = run(f"http://127.0.0.1:{free_port()}/", "--anonymous")
    assert (2, True) == (done.exit_code, " cannot be called: no answer: the connection was refused" in done.stderr)
