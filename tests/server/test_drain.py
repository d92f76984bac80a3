"""The drain: the server is not ready while it still serves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, JSON, Process, error_of, free_port, running, serving, write_config
from tests.support.waiting import wait_until


@pytest.fixture
def draining(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """A server with two workers that drains until another signal comes, and a valid token."""
    with FakeKeystone() as keystone:
        port = free_port()
        config = write_config(
            tmp_path, keystone, handlers="tests.support.handlers.good:Plain", port=port, workers=2, drain_seconds=600
        )
        with serving(config, port) as process:
            process.wait_until_answers()
            process.wait_for("Application startup complete", times=2)
            yield process, keystone.issue("service")


def test_a_draining_server_serves_and_is_not_ready(draining: tuple[Process, str]) -> None:
    """For drain_seconds after SIGTERM /-/ready is 503 and all is served; a second SIGTERM ends that."""
    process, token = draining
    process.signal(signal.SIGTERM)
    process.wait_for("Draining for 600 seconds: /-/ready answers 503")
    for _ in range(10):  # both workers
        with process.client() as client:
            wait_until(lambda: client.get("/-/ready").status_code == 503)
            for path in ("/-/ready", "/healthcheck"):
                assert "the server is draining before it stops" == error_of(client.get(path))[2]
            assert 200 == client.post("/plain", content=BODY, headers={**JSON, "X-Auth-Token": token}).status_code
    process.signal(signal.SIGTERM)
    assert 0 == process.end()
    assert 2 == process.log.read_text().count("Finished server process")


def test_only_sigterm_drains(draining: tuple[Process, str]) -> None:
    """A worker that is replaced after SIGHUP, and a server that gets SIGINT, do not drain."""
    process, _ = draining
    process.signal(signal.SIGHUP)
    process.wait_for("Finished server process", times=2)
    process.signal(signal.SIGINT)
    assert 0 == process.end()


def test_a_drain_ends(tmp_path: Path) -> None:
    """A server stops by itself after drain_seconds."""
    port = free_port()
    with serving(write_config(tmp_path, port=port, drain_seconds=0.1), port) as process:
        process.wait_until_answers()
        process.signal(signal.SIGTERM)
        assert 0 == process.end()
    assert "Draining for 0.1 seconds" in process.log.read_text()


def test_a_file_takes_the_server_out_of_service(tmp_path: Path) -> None:
    """While the file of disable_by_file_path exists, /-/ready is 503, and all is served."""
    file = tmp_path / "disabled"
    with FakeKeystone() as keystone, running(write_config(tmp_path, keystone, disable_by_file_path=file)) as server:
        before = server.client.get("/-/ready")
        file.touch()
        disabled = server.client.get("/-/ready")
        answer = server.ask("/echo", keystone.issue("service"))
        file.unlink()
        after = server.client.get("/-/ready")
    assert [200, 503, 200, 200] == [each.status_code for each in (before, disabled, answer, after)]
    assert "the server is disabled by the file of disable_by_file_path" == error_of(disabled)[2]
