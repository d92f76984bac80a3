"""The server in a process of its own: TLS, workers, signals, and what it says when it cannot start."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.support import real_peers as peers
from tests.support.fake_keystone import FakeKeystone
from tests.support.processes import ROOT
from tests.support.serving import BODY, JSON, Process, free_port, running, serving, write_config
from tests.support.waiting import wait_until
from vendorsrv import ConfigError, Settings
from vendorsrv.server.serve import serve, uvicorn_config

PLAIN, PATIENT = "tests.support.handlers.good:Plain", "tests.support.handlers.patient:Patient"


def greeting(process: Process, token: str) -> str:
    """What the plain handler says, over a new connection."""
    with process.client() as client:
        response = client.post("/plain", content=BODY, headers={**JSON, "X-Auth-Token": token})
    assert 200 == response.status_code
    return str(response.json()["greeting"])


class Reloadable:
    """A running server whose configuration can be rewritten."""

    def __init__(self, directory: Path, keystone: FakeKeystone) -> None:
        self.directory, self.keystone, self.port = directory, keystone, free_port()
        self.token = keystone.issue("service")

    def write(self, word: str, handlers: str = PLAIN) -> Path:
        """Write a configuration in which the handler greets with this word."""
        sections = f"[handler:plain]\ngreeting = {word}\n"
        return write_config(self.directory, self.keystone, handlers=handlers, sections=sections, port=self.port)


@pytest.fixture(scope="module")
def reloadable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloadable]:
    """The parts of one server for the tests of SIGHUP."""
    with FakeKeystone() as keystone:
        yield Reloadable(tmp_path_factory.mktemp("reload"), keystone)


@pytest.fixture(scope="module")
def process(reloadable: Reloadable) -> Iterator[Process]:
    """The server itself."""
    with serving(reloadable.write("hello"), reloadable.port) as process:
        process.wait_until_answers()
        yield process


def test_sighup_takes_the_configuration_as_it_is_now(reloadable: Reloadable, process: Process) -> None:
    """And meanwhile no request fails."""
    reloadable.write("good morning")
    process.signal(signal.SIGHUP)
    wait_until(lambda: greeting(process, reloadable.token) == "good morning", 60)
    process.wait_for("Finished server process")


def test_a_broken_configuration_leaves_the_server_as_it_is(reloadable: Reloadable, process: Process) -> None:
    """The log says what is wrong, and the old worker goes on."""
    before = greeting(process, reloadable.token)
    reloadable.write("never", handlers="nosuch")
    process.signal(signal.SIGHUP)
    process.wait_for("A new worker could not start; the old workers keep running")
    assert (
        "CRITICAL vendorsrv.server.app [-] handler nosuch: no installed package provides it" in process.log.read_text()
    )
    assert before == greeting(process, reloadable.token)


def test_sighup_loses_no_request_that_is_on_its_way(reloadable: Reloadable, process: Process) -> None:
    """A connection that is open, used or not, gets one more answer, which sends the client to the new worker."""
    headers = {**JSON, "X-Auth-Token": reloadable.token}
    reloadable.write("good evening")
    with process.client() as kept, socket.create_connection(("127.0.0.1", process.port), timeout=60) as early:
        before = kept.post("/plain", content=BODY, headers=headers)
        process.signal(signal.SIGHUP)
        process.wait_for("Waiting for requests that may be on their way on 2 idle connections")
        early.sendall(b"GET /-/live HTTP/1.1\r\nHost: here\r\n\r\n")
        after = kept.post("/plain", content=BODY, headers=headers)
        assert early.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    assert before.json() == after.json()
    assert [None, "close"] == [response.headers.get("Connection") for response in (before, after)]
    assert "good evening" == greeting(process, reloadable.token)


def test_a_connection_without_a_request_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Who connects and keeps silent is left after a second, long before those who wait for an answer."""
    with FakeKeystone() as keystone, running(write_config(tmp_path, keystone, shutdown_timeout=600)) as server:
        with server.connect() as silent:
            assert 200 == server.client.get("/-/live").status_code
            server.uvicorn.should_exit = True
            assert b"" == silent.recv(1)
        server.thread.join(60)
        assert not server.thread.is_alive()


def test_sigterm_finishes_what_has_begun(tmp_path: Path) -> None:
    """Whoever was accepted gets the answer; the server ends with status 0 and without a traceback."""
    answers: list[str] = []

    def ask() -> None:
        with process.client() as client:
            headers = {**JSON, "X-Auth-Token": token}
            answers.append(client.post("/patient", content=BODY, headers=headers).text)

    port, asking = free_port(), threading.Thread(target=ask)
    section = f"[handler:patient]\ndirectory = {tmp_path}\ntimeout = 60\n"
    with FakeKeystone() as keystone:
        token = keystone.issue("service")
        config = write_config(
            tmp_path, keystone, handlers=PATIENT, sections=section, port=port, request_timeout=60, shutdown_timeout=60
        )
        with serving(config, port) as process:
            process.wait_until_answers()
            asking.start()
            wait_until((tmp_path / "begun").exists)
            process.signal(signal.SIGTERM)
            process.wait_for("Waiting for connections to close")
            (tmp_path / "go on").touch()
            asking.join(60)
            assert 0 == process.end()
    assert ['"finished"'] == answers
    assert "Traceback" not in process.log.read_text()


def test_sighup_takes_new_code_of_a_handler(tmp_path: Path) -> None:
    """Workers are forked, from a process that has never loaded it."""
    code = (
        "from vendorsrv import Handler\n\n\nclass Plain(Handler):\n    def handle(self, _):\n        return {answer}\n"
    )
    module = tmp_path / "renewed.py"
    module.write_text(code.format(answer={"greeting": "hello"}))
    with FakeKeystone() as keystone:
        port, token = free_port(), keystone.issue("service")
        config = write_config(tmp_path, keystone, handlers="renewed:Plain", port=port)
        with serving(config, port) as process:
            process.wait_until_answers()
            assert "hello" == greeting(process, token)
            module.write_text(code.format(answer={"greeting": "good morning"}))
            process.signal(signal.SIGHUP)
            wait_until(lambda: greeting(process, token) == "good morning", 60)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of the tests."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Process]:
    """A server with two workers that asks clients for a certificate."""
    directory = tmp_path_factory.mktemp("tls")
    port = free_port()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    files: dict[str, Any] = {f"{name}_file": directory / f"{name}.pem" for name in ("cert", "key", "ca")}
    with (
        FakeKeystone() as keystone,
        serving(write_config(directory, keystone, port=port, workers=2, **files), port) as process,
    ):
        process.wait_until_answers(context(authority, authority))
        yield process


def context(authority: trustme.CA, signer: trustme.CA | None) -> ssl.SSLContext:
    """What a client trusts, and whose certificate it shows."""
    made = ssl.create_default_context()
    authority.configure_trust(made)
    if signer:
        signer.issue_cert("nova.example").configure_cert(made)
    return made


def test_a_client_with_a_certificate_is_served(tls: Process, authority: trustme.CA) -> None:
    """Over TLS that it can verify."""
    assert True is tls.answers(context(authority, authority))


@pytest.mark.parametrize("signer", [None, trustme.CA()], ids=["none", "a stranger's"])
def test_a_client_without_the_right_certificate_is_refused(
    tls: Process, authority: trustme.CA, signer: trustme.CA | None
) -> None:
    """With no certificate, and with one that somebody else signed."""
    with tls.client(context(authority, signer)) as client, pytest.raises(httpx.TransportError):
        client.get("/-/live")


def test_without_tls_nothing_is_answered(tls: Process) -> None:
    """A token in clear text is not taken."""
    with tls.client() as client, pytest.raises(httpx.TransportError):
        client.get("/-/live")


def test_as_many_workers_serve_as_are_configured(tls: Process) -> None:
    """Two processes, with the handlers open in each."""
    tls.wait_for("Application startup complete", times=2)
    assert 2 == len(set(re.findall(r"Started server process \[(\d+)\]", tls.log.read_text())))


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    """And no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(write_config(tmp_path, port=port), port) as process:
            assert 1 == process.end()
    lines = process.log.read_text().splitlines()
    assert f"error: cannot listen on 127.0.0.1 port {port}" == lines[-1]
    assert 2 == len(lines)


def test_a_handler_that_is_not_there_stops_the_server(tmp_path: Path) -> None:
    """With the reason in the log, once, instead of workers without end."""
    with serving(write_config(tmp_path, handlers="nosuch"), 0) as process:
        assert 1 == process.end()
    text = process.log.read_text()
    assert 1 == text.count("handler nosuch: no installed package provides it")
    assert "error: a worker could not start; the log says why" == text.splitlines()[-1]
    assert "Traceback" not in text


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Before anything else happens."""
    with pytest.raises(ConfigError) as caught:
        serve(str(tmp_path / "none.conf"))
    assert f"{tmp_path}/none.conf does not exist or cannot be read" == str(caught.value)


def served_in_vain(path: Path) -> str:
    """What the command says of a configuration with which it does not start."""
    command = [sys.executable, "-m", "vendorsrv", "serve", "--config-file", str(path)]
    peers.skip_if_unit()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert 1 == done.returncode
    return done.stderr


def test_the_command_names_what_the_checks_found(tmp_path: Path) -> None:
    """A line each, and nothing is served."""
    path = write_config(tmp_path, prot=1)
    assert f"vendorsrv: {path}:5: error: [vendorsrv] prot: there is no such option; did you mean port?\n" == (
        served_in_vain(path)
    )


def test_the_command_without_its_file_is_one_line(tmp_path: Path) -> None:
    """As all commands say it."""
    path = tmp_path / "none.conf"
    assert f"vendorsrv: {path} does not exist or cannot be read\n" == served_in_vain(path)


def test_a_file_that_is_no_ini_file_is_one_line(tmp_path: Path) -> None:
    """With its number."""
    path = tmp_path / "vendorsrv.conf"
    path.write_text("[vendorsrv]\nport\n")
    assert f"vendorsrv: {path}:2: error: " in served_in_vain(path)


def test_a_handler_that_ends_the_checks_is_one_line(tmp_path: Path) -> None:
    """It would end every worker as well."""
    path = write_config(tmp_path, handlers="tests.support.handlers.vanishing:Any")
    assert f"vendorsrv: {path}: a handler ended the process that checks it\n" == served_in_vain(path)


def test_pins_have_their_file_before_a_worker_starts(tmp_path: Path) -> None:
    """Else the worker that makes it would keep what it takes to make it; the next start leaves it as it is."""
    path = write_config(
        tmp_path, handlers="tests.support.handlers.keeping:Pinned", sections="[handler:pinned]\nruns = /tmp\n"
    )
    code = f"from vendorsrv.server.serve import check_apart\nprint(*(check_apart({str(path)!r}).pins for _ in '12'))"
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("True True\n", 0o600) == (done.stdout, (tmp_path / "pins.db").stat().st_mode & 0o777)


@pytest.mark.parametrize(("seconds", "rounded"), [(0.0, 1), (0.4, 1), (5.0, 5), (7.6, 8)])
def test_stopping_has_a_bound(tmp_path: Path, seconds: float, rounded: int) -> None:
    """In whole seconds, and one at least."""
    settings = Settings.from_file(write_config(tmp_path, shutdown_timeout=seconds))
    assert rounded == uvicorn_config(settings, "vendorsrv.server.app:from_environment", 1).timeout_graceful_shutdown
