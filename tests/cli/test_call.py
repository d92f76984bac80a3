"""vendorsrv call prints what the instance would see; its exit status says whether Nova keeps it."""

from __future__ import annotations

import base64
import json
import logging
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from tests.support import real_peers as peers
from tests.support.serving import free_port
from vendorsrv.cli.call import call
from vendorsrv.testing.misbehaviour import body
from vendorsrv.testing.upstream import FakeUpstream


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))


@pytest.fixture(scope="module")
def peer() -> Iterator[FakeUpstream]:
    """A server with every behaviour of the table."""
    with FakeUpstream() as running:
        running.routes["/mailserver"] = body('{"role": "mail-server"}')
        running.received.clear()
        yield running


def run(*args: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(call, args)


def test_only_the_entry_goes_to_standard_output(peer: FakeUpstream) -> None:
    """Standard output has the entry alone, as JSON; remarks go to standard error."""
    result = run(f"{peer.url}/mailserver", "--anonymous")
    assert {"mailserver": {"role": "mail-server"}} == json.loads(result.stdout)
    assert f"{peer.url}/mailserver: status 200, " in result.stderr
    assert 0 == result.exit_code


def test_a_dropped_answer_exits_with_1(peer: FakeUpstream) -> None:
    """The exit status is 1 when Nova drops the answer, and standard error has the reason."""
    result = run(f"mail@{peer.url}/403", "--anonymous")
    assert {"mail": {}} == json.loads(result.stdout)
    assert "Nova drops this answer and uses {} instead: the server answered 403.\n" in result.stderr
    assert "it raises Forbidden: no such rack (HTTP 403)\n" in result.stderr
    assert 1 == result.exit_code


def test_json_is_one_object(peer: FakeUpstream) -> None:
    """--json prints the whole result as one object on standard output."""
    result = run(f"{peer.url}/mailserver", "--anonymous", "--json", "--name", "mail")
    found = json.loads(result.stdout)
    assert ("mail", True, {"role": "mail-server"}) == (found["name"], found["kept"], found["value"])
    assert ("", 0) == (result.stderr, result.exit_code)


def test_options_become_the_payload(peer: FakeUpstream, tmp_path: Path) -> None:
    """Each option sets its member of the body."""
    (tmp_path / "user-data").write_bytes(b"#!/bin/sh\n")
    options = {"--instance-id": "i", "--project-id": "p", "--image-id": "m", "--hostname": "h", "--boot-roles": "a,b"}
    args = [text for pair in options.items() for text in pair]
    args += ["--metadata", "k=v=w", "--metadata", "l=", "--user-data", str(tmp_path / "user-data")]
    assert 0 == run(f"{peer.url}/mailserver", "--anonymous", *args).exit_code
    assert json.loads(peer.received[-1].body) == {
        "instance-id": "i",
        "project-id": "p",
        "image-id": "m",
        "hostname": "h",
        "boot-roles": "a,b",
        "metadata": {"k": "v=w", "l": ""},
        "user-data": base64.b64encode(b"#!/bin/sh\n").decode(),
    }


def test_options_override_a_payload_file(peer: FakeUpstream, tmp_path: Path) -> None:
    """--payload reads the body from a file, and options override its members."""
    (tmp_path / "payload.json").write_text('{"instance-id": "i", "boot-roles": "a", "new": [1]}')
    run(f"{peer.url}/mailserver", "--anonymous", "--payload", str(tmp_path / "payload.json"), "--boot-roles", "b")
    assert {"instance-id": "i", "boot-roles": "b", "new": [1]} == json.loads(peer.received[-1].body)


def test_the_read_timeout_is_an_option(peer: FakeUpstream) -> None:
    """--read-timeout sets how long Nova waits for the answer."""
    result = run(f"{peer.url}/silent", "--anonymous", "--read-timeout", "0.2", "--connect-timeout", "3")
    assert "there was no answer within the timeout" in result.stderr
    assert 1 == result.exit_code


def test_the_ca_is_an_option(tmp_path: Path) -> None:
    """--ssl-certfile sets the CA certificates for an https URL."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with FakeUpstream(context) as peer:
        assert 0 == run(f"{peer.url}/object", "--anonymous", "--ssl-certfile", str(tmp_path / "ca.pem")).exit_code


def test_nova_conf_sets_timeouts_and_account(peer: FakeUpstream, tmp_path: Path) -> None:
    """--nova-conf sets the timeouts, and a remark says that Nova sends no token without auth_type."""
    (tmp_path / "nova.conf").write_text("[api]\nvendordata_dynamic_read_timeout = 0\n")
    result = run(f"{peer.url}/mailserver", "--nova-conf", str(tmp_path / "nova.conf"))
    assert "it raises ValueError: " in result.stderr
    assert "nova.conf has no [vendordata_dynamic_auth] auth_type: Nova sends no token." in result.stderr
    assert 1 == result.exit_code


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "OS_AUTH_URL is not set: set the OS_* variables, name a cloud in clouds.yaml (--os-cloud), "),
        (["--os-cloud", "zz"], "the credentials cannot be used: Cloud zz was not found."),
        (["--nova-conf", "/nowhere"], "/nowhere does not exist or cannot be read"),
        (["--anonymous", "--os-cloud", "a"], "only one of --os-cloud, --nova-conf and --anonymous can be given"),
        (["--anonymous", "--metadata", "k"], "--metadata k has no value: write KEY=VALUE"),
        (["--anonymous", "--user-data", "/nowhere"], "/nowhere does not exist or cannot be read"),
        (["--anonymous", "--payload", "/nowhere"], "/nowhere does not exist or cannot be read"),
        (["--anonymous", "--read-timeout", "-1"], "Invalid value for '--read-timeout'"),
    ],
)
def test_a_call_that_cannot_be_made_exits_with_2(peer: FakeUpstream, args: list[str], message: str) -> None:
    """The exit status is 2 when the call cannot be made: nothing is sent, and standard error has the reason."""
    peer.received.clear()
    result = run(f"{peer.url}/mailserver", *args)
    assert message in result.stderr
    assert ("", 2, []) == (result.stdout, result.exit_code, peer.received)


def test_an_error_is_one_line() -> None:
    """An error is one line, without a traceback or the usage."""
    assert "vendorsrv: nonsense is neither an http:// or https:// URL nor NAME@URL\n" == run("nonsense").stderr


def test_an_unavailable_keystone_is_one_line(peer: FakeUpstream) -> None:
    """A process prints one line for an unavailable Keystone, without warnings of libraries and the password."""
    keystone = f"http://127.0.0.1:{free_port()}/v3"
    peers.skip_if_unit()
    result = subprocess.run(
        [sys.executable, "-c", "from vendorsrv.cli.call import call; call()", f"{peer.url}/mailserver"],
        env={**os.environ, "OS_AUTH_URL": keystone, "OS_USERNAME": "nova", "OS_PASSWORD": "hunter2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"vendorsrv: Keystone at {keystone} cannot be reached\n" == result.stderr
    assert ("", 2) == (result.stdout, result.returncode)


def test_nothing_of_the_call_is_logged(peer: FakeUpstream, caplog: pytest.LogCaptureFixture) -> None:
    """At debug level the log contains neither the answer nor the body."""
    caplog.set_level(logging.DEBUG)
    run(f"{peer.url}/mailserver", "--anonymous", "--hostname", "planted")
    assert "mail-server" not in caplog.text
    assert "planted" not in caplog.text
