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


def test_sighup_reloads_the_configuration(reloadable: Reloadable, process: Process) -> None:
    """After SIGHUP new workers serve with the configuration file's present content."""
    reloadable.write("good morning")
    process.signal(signal.SIGHUP)
    wait_until(lambda: greeting(process, reloadable.token) == "good morning", 60)
    process.wait_for("Finished server process")


def test_a_reload_with_a_broken_configuration_keeps_the_old_workers(reloadable: Reloadable, process: Process) -> None:
    """After SIGHUP with a broken configuration the log has the reason and the old worker keeps serving."""
    before = greeting(process, reloadable.token)
    reloadable.write("never", handlers="nosuch")
    process.signal(signal.SIGHUP)
    process.wait_for("A new worker could not start; the old workers keep running")
    assert (
        "CRITICAL vendorsrv.server.app [-] handler nosuch: no installed package provides it" in process.log.read_text()
    )
    assert before == greeting(process, reloadable.token)


def test_a_reload_answers_requests_on_open_connections(reloadable: Reloadable, process: Process) -> None:
    """During a reload each open connection gets one more answer, with Connection: close."""
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


def test_an_idle_connection_delays_the_stop_by_a_second_only(tmp_path: Path) -> None:
    """A connection without a request is closed a second after the stop begins, long before shutdown_timeout."""
    with FakeKeystone() as keystone, running(write_config(tmp_path, keystone, shutdown_timeout=600)) as server:
        with server.connect() as silent:
            assert 200 == server.client.get("/-/live").status_code
            server.uvicorn.should_exit = True
            assert b"" == silent.recv(1)
        server.thread.join(60)
        assert not server.thread.is_alive()


def test_sigterm_finishes_requests_in_progress(tmp_path: Path) -> None:
    """After SIGTERM a request in progress is answered, and the server exits with status 0."""
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


def test_a_reload_loads_a_handlers_new_code(tmp_path: Path) -> None:
    """After SIGHUP a handler's changed module is in use."""
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


def test_a_client_with_a_valid_certificate_is_served(tls: Process, authority: trustme.CA) -> None:
    """With ca_file a client that shows a certificate of that authority is served over TLS."""
    assert True is tls.answers(context(authority, authority))


@pytest.mark.parametrize("signer", [None, trustme.CA()], ids=["none", "a stranger's"])
def test_a_client_without_a_valid_certificate_is_refused(
    tls: Process, authority: trustme.CA, signer: trustme.CA | None
) -> None:
    """With ca_file a client with no certificate, or another authority's, is refused."""
    with tls.client(context(authority, signer)) as client, pytest.raises(httpx.TransportError):
        client.get("/-/live")


def test_plain_http_is_refused_with_tls(tls: Process) -> None:
    """A server with TLS does not answer plain HTTP."""
    with tls.client() as client, pytest.raises(httpx.TransportError):
        client.get("/-/live")


def test_the_configured_number_of_workers_serves(tls: Process) -> None:
    """`workers = 2` starts two processes with open handlers."""
    tls.wait_for("Application startup complete", times=2)
    assert 2 == len(set(re.findall(r"Started server process \[(\d+)\]", tls.log.read_text())))


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """A port that is in use ends the start with status 1 and one line, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(write_config(tmp_path, port=port), port) as process:
            assert 1 == process.end()
    lines = process.log.read_text().splitlines()
    assert f"error: cannot listen on 127.0.0.1 port {port}" == lines[-1]
    assert 2 == len(lines)


def test_an_unknown_handler_ends_the_start(tmp_path: Path) -> None:
    """A handler that no package provides ends the start with status 1, and the log has the reason once."""
    with serving(write_config(tmp_path, handlers="nosuch"), 0) as process:
        assert 1 == process.end()
    text = process.log.read_text()
    assert 1 == text.count("handler nosuch: no installed package provides it")
    assert "error: a worker could not start; the log says why" == text.splitlines()[-1]
    assert "Traceback" not in text


def test_serving_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    """A configuration file that does not exist is a ConfigError with its path."""
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


def test_the_command_prints_errors_of_the_checks(tmp_path: Path) -> None:
    """`vendorsrv serve` prints each error that the checks found and does not serve."""
    path = write_config(tmp_path, prot=1)
    assert f"vendorsrv: {path}:6: error: [vendorsrv] prot: there is no such option; did you mean port?\n" == (
        served_in_vain(path)
    )


def test_the_command_with_a_missing_file_prints_one_line(tmp_path: Path) -> None:
    """`vendorsrv serve` with a missing file prints one line."""
    path = tmp_path / "none.conf"
    assert f"vendorsrv: {path} does not exist or cannot be read\n" == served_in_vain(path)


def test_a_file_that_is_not_ini_is_one_line(tmp_path: Path) -> None:
    """A file that is not in INI format ends the start with one line that has the line's number."""
    path = tmp_path / "vendorsrv.conf"
    path.write_text("[vendorsrv]\nport\n")
    assert f"vendorsrv: {path}:2: error: " in served_in_vain(path)


def test_a_handler_that_ends_the_process_is_one_line(tmp_path: Path) -> None:
    """A handler that ends the process that checks it ends the start with one line."""
    path = write_config(tmp_path, handlers="tests.support.handlers.vanishing:Any")
    assert f"vendorsrv: {path}: a handler ended the process that checks it\n" == served_in_vain(path)


def test_the_pins_file_exists_before_a_worker_starts(tmp_path: Path) -> None:
    """The checks create the SQLite file of pins, private to the user, and leave an existing one as it is."""
    path = write_config(
        tmp_path, handlers="tests.support.handlers.keeping:Pinned", sections="[handler:pinned]\nruns = /tmp\n"
    )
    code = f"from vendorsrv.server.serve import check_apart\nprint(*(check_apart({str(path)!r}).pins for _ in '12'))"
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("True True\n", 0o600) == (done.stdout, (tmp_path / "pins.db").stat().st_mode & 0o777)


@pytest.mark.parametrize(("seconds", "rounded"), [(0.0, 1), (0.4, 1), (5.0, 5), (7.6, 8)])
def test_shutdown_timeout_is_rounded(tmp_path: Path, seconds: float, rounded: int) -> None:
    """shutdown_timeout is rounded to whole seconds, and is at least one."""
    settings = Settings.from_file(write_config(tmp_path, shutdown_timeout=seconds))
    assert rounded == uvicorn_config(settings, "vendorsrv.server.app:from_environment", 1).timeout_graceful_shutdown
