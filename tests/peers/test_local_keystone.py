"""The local Keystone is a real one, and nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.peers.conftest import NO_KEYSTONE
from tests.support.keystone import NOVA, VENDORSRV, Account, Keystone
from tests.support.processes import processes_of
from tests.support.real_peers import require
from tests.support.waiting import wait_until
from vendorsrv.demo.keystone import LocalKeystone
from vendorsrv.errors import ConfigError

require("keystone", NO_KEYSTONE)

PARENT = """\
from vendorsrv.demo.keystone import LocalKeystone
try:
    with LocalKeystone() as keystone:
        print(keystone.url, flush=True)
        input()
except KeyboardInterrupt:
    pass
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that starts a Keystone whose temporary directory is made in tmp_path."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def serving(parent: subprocess.Popen[bytes], _: Path) -> None:
    """Wait until the parent's Keystone answers."""
    assert parent.stdout is not None
    assert b"http://127.0.0.1:" in parent.stdout.readline()


def starting(_: subprocess.Popen[bytes], directory: Path) -> None:
    """Wait until the parent's Keystone has its directory, seconds before it answers."""
    wait_until(lambda: list(directory.glob("vendorsrv-keystone-*")))


@pytest.mark.parametrize("moment", [starting, serving])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_stays_behind_however_the_parent_ends(
    parent: subprocess.Popen[bytes],
    tmp_path: Path,
    moment: Callable[[subprocess.Popen[bytes], Path], None],
    number: signal.Signals,
) -> None:
    """Process and directory go, quietly, when the parent is killed or Ctrl-C reaches its process group."""
    moment(parent, tmp_path)
    assert {parent.pid} < {*processes_of(tmp_path)}
    os.killpg(parent.pid, number)
    _, errors = parent.communicate(timeout=120)
    assert b"" == errors
    wait_until(lambda: not processes_of(tmp_path))
    assert [] == list(tmp_path.iterdir())


def test_it_validates_a_token_as_keystone_does(keystone: Keystone, nova_token: str) -> None:
    """The server's account, with the role service alone, may validate the token of Nova's user."""
    answer = keystone.session(*VENDORSRV).get(f"{keystone.url}/auth/tokens", headers={"X-Subject-Token": nova_token})
    token = answer.json()["token"]
    assert ("nova", "service") == (token["user"]["name"], token["project"]["name"])
    assert ["service"] == [role["name"] for role in token["roles"]]


def test_it_logs_each_request_without_its_token(keystone: Keystone, nova_token: str) -> None:
    """A validation is one line of the log, so that tests can count them."""
    before = keystone.requests("GET", "/v3/auth/tokens")
    assert keystone.accepts(nova_token)
    assert before + 1 == keystone.requests("GET", "/v3/auth/tokens")
    assert keystone.log_file is not None
    assert nova_token not in keystone.log_file.read_text()


def test_an_expired_token_is_refused(keystone: Keystone, expired_token: str) -> None:
    """A real token is refused after it has expired."""
    assert not keystone.accepts(expired_token)


def test_a_revoked_token_is_refused(keystone: Keystone, revoked_token: str) -> None:
    """A real token is refused after it was revoked."""
    assert not keystone.accepts(revoked_token)


def test_a_new_role_can_be_given(keystone: Keystone) -> None:
    """A user can have roles beside Keystone's own."""
    keystone.create_role("mail-admin")
    keystone.create_user("postmaster", "postmaster-password", "demo", ["member", "mail-admin"])
    session = keystone.session("postmaster", "postmaster-password", "demo")
    roles = session.get(f"{keystone.url}/auth/tokens", headers={"X-Subject-Token": str(session.get_token())})
    assert {"member", "reader", "mail-admin"} == {role["name"] for role in roles.json()["token"]["roles"]}


def test_first_log_ins_at_once(keystone: Keystone) -> None:
    """Users who log in for the first time at the same moment all get a token."""
    accounts = [Account(f"newcomer-{number}", "newcomer-password", "demo") for number in range(8)]
    for account in accounts:
        keystone.create_user(*account, ["member"])
    with ThreadPoolExecutor(len(accounts)) as pool:
        assert all(pool.map(keystone.token, accounts))


def test_a_kept_directory_survives_a_kill(fragile_keystone: Keystone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Keystone that does not stop in time is killed; the next start has the same address and keys."""
    url, token, process = fragile_keystone.url, fragile_keystone.token(NOVA), fragile_keystone.process
    monkeypatch.setattr(fragile_keystone, "stop_timeout", 0.0)
    assert process is not None
    assert process.stdin is not None
    with os.fdopen(os.dup(process.stdin.fileno())):  # its input does not end, so that it cannot stop in time
        fragile_keystone.stop()
    assert -signal.SIGKILL == process.returncode
    fragile_keystone.start()
    assert url == fragile_keystone.url
    assert fragile_keystone.accepts(token)


def test_a_paused_keystone_accepts_and_never_answers(fragile_keystone: Keystone) -> None:
    """Pausing looks like a hang from outside: a connection, and then silence, until it is resumed."""
    fragile_keystone.pause()
    with socket.create_connection(("127.0.0.1", fragile_keystone.port), timeout=60) as connection:
        connection.sendall(b"GET /v3 HTTP/1.0\r\n\r\n")
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        fragile_keystone.resume()
        connection.settimeout(60)
        assert b"HTTP/1.0 200 OK" == connection.recv(15)


def test_what_keystone_refuses_is_one_error(keystone: Keystone) -> None:
    """A name that is taken is an error with Keystone's reason."""
    with pytest.raises(ConfigError, match=r"failed at POST /projects: .*two projects with"):
        keystone.create_project("service")


def test_an_unknown_role_is_named(keystone: Keystone) -> None:
    """A user cannot be given a role that does not exist."""
    with pytest.raises(ConfigError, match="has no nosuchrole among its roles"):
        keystone.create_user("somebody", "somebody-password", "demo", ["nosuchrole"])


def test_a_taken_port_is_the_reason(keystone: Keystone) -> None:
    """When Keystone cannot start, the message is the last line of the reason, without a traceback."""
    with pytest.raises(ConfigError, match=r"^the local Keystone did not start: OSError: .*Address already in use$"):
        LocalKeystone(port=keystone.port).start()


def test_starting_has_a_bound(tmp_path: Path) -> None:
    """A start that takes too long is an error, and no process is left."""
    slow = LocalKeystone(directory=tmp_path, start_timeout=0.05)
    with pytest.raises(ConfigError, match=r"did not start within 0\.05 seconds"):
        slow.start()
    assert slow.process is None
