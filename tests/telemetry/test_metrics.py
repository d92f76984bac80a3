"""The metrics of a server with one worker, read over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Clock, House
from tests.support.scraping import of, scrape, wait_for
from tests.support.serving import BODY, INSTANCE, Server, running, write_config
from tests.support.waiting import wait_until
from vendorsrv import NotYet, ServiceUnavailable, UpstreamError, __version__

KEEPING = "Scripted, Cached, Stale, Empty"


@pytest.fixture
def server(tmp_path: Path, fake: FakeKeystone) -> Iterator[Server]:
    """A server with plain handlers."""
    handlers = (
        "tests.support.handlers.good:Echo, tests.support.handlers.good:Plain, tests.support.handlers.good:Raising"
    )
    with running(write_config(tmp_path, fake, handlers=handlers)) as server:
        yield server


@pytest.fixture
def keeping(tmp_path: Path, fake: FakeKeystone) -> Iterator[Server]:
    """A server with scripted handlers."""
    handlers = ", ".join(f"tests.support.handlers.keeping:{name}" for name in KEEPING.split(", "))
    with running(write_config(tmp_path, fake, handlers=handlers)) as server:
        yield server


def handler_of(server: Server, name: str) -> Any:
    """Return a handler of the server."""
    return server.app.registry.handlers[name].handler


def test_requests_are_counted_by_path_status_and_code(server: Server, fake: FakeKeystone) -> None:
    """Requests for handlers, for all handlers and for public routes are counted by path, status and error code."""
    nova = fake.issue("service")
    server.ask("/echo", nova)
    server.client.post("/plain", content=BODY, headers={"X-Auth-Token": nova, "Content-Type": "application/json"})
    for path, token in (("/plain", None), ("/plain", "x"), ("/plain", fake.issue("member")), ("/raising", nova)):
        server.ask(path, token)
    server.ask("/plain", nova, headers={"Content-Type": "application/json", "If-None-Match": "*"})
    server.ask("/", nova)
    server.client.get("/echo")
    server.client.get("/plain/key.json")
    server.client.get("/plain/broken.json")
    server.client.post("/plain/key.json")
    found = wait_for(server.admin, 'requests_total{code="method_not_allowed",path="/plain/key.json",status="405"}', 1)
    assert {
        'requests_total{code="",path="/echo",status="200"}': 1,
        'requests_total{code="",path="/plain",status="200"}': 2,
        'requests_total{code="unauthorized",path="/plain",status="401"}': 2,
        'requests_total{code="forbidden",path="/plain",status="403"}': 1,
        'requests_total{code="handler_failed",path="/raising",status="500"}': 1,
        'requests_total{code="handler_failed",path="/",status="500"}': 1,
        'requests_total{code="method_not_allowed",path="/echo",status="405"}': 1,
        'requests_total{code="",path="/plain/key.json",status="200"}': 1,
        'requests_total{code="bad_answer",path="/plain/broken.json",status="500"}': 1,
        'requests_total{code="method_not_allowed",path="/plain/key.json",status="405"}': 1,
    } == of(found, "requests_total")


def test_clients_cannot_create_time_series(server: Server, fake: FakeKeystone) -> None:
    """Unknown paths share one label, and nothing that a client sends is in the text."""
    nova = fake.issue("service")
    server.ask("/echo", nova)
    server.ask("/planted-path", nova)
    wait_for(server.admin, 'request_duration_seconds_count{path="other"}', 1)
    before = {line.rpartition(" ")[0] for line in server.admin.get("/-/metrics").text.splitlines()}
    server.ask("/echo", nova)
    server.ask("/planted-path", nova)
    server.ask("/planted/path", nova)
    server.ask("/echo", "planted-token")
    server.client.request("PLANTED", "/echo")
    wait_for(server.admin, 'requests_total{code="not_found",path="other",status="404"}', 3)
    text = server.admin.get("/-/metrics").text
    assert before == {line.rpartition(" ")[0] for line in text.splitlines()}
    assert [] == [each for each in ("planted", "PLANTED", INSTANCE, nova, "web-1") if each in text]


def test_the_server_s_own_routes_are_not_counted(server: Server) -> None:
    """Requests for routes below /-/ are not counted."""
    for path in ("live", "ready", "metrics", "nosuch"):
        server.client.get(f"/-/{path}")
    found = scrape(server.admin)
    assert {} == of(found, "requests_total", "requests_in_progress", "request_duration_seconds_count")


def test_an_idle_server_counts_only_its_workers(server: Server) -> None:
    """Before the first request all metrics are present and 0, except those about workers."""
    assert {
        "vendorsrv_workers": 1,
        "vendorsrv_worker_starts_total": 1,
        f'vendorsrv_build_info{{version="{__version__}"}}': 1,
    } == scrape(server.admin)
    assert "\nvendorsrv_pin_waits_total 0.0\n" in server.admin.get("/-/metrics").text


def test_durations_are_counted_in_cumulative_buckets(tmp_path: Path, fake: FakeKeystone) -> None:
    """A duration is counted in each bucket up to Nova's timeout whose bound it does not exceed."""
    with running(write_config(tmp_path, fake, handlers="tests.support.handlers.good:Slow")) as server:
        assert 504 == server.ask("/slow", fake.issue("service")).status_code
        found = wait_for(server.admin, 'request_duration_seconds_count{path="/slow"}', 1)
    bounds = {name.partition('le="')[2].partition('"')[0] for name in of(found, "request_duration_seconds_bucket")}
    seconds = found['vendorsrv_request_duration_seconds_sum{path="/slow"}']
    assert 0.04 <= seconds < 5
    below_one = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
    every = {str(bound): bound for bound in (*below_one, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, float("inf"))}
    assert {name for name, bound in every.items() if seconds <= bound} == {each.replace("+I", "i") for each in bounds}
    assert 0.04 <= found['vendorsrv_handler_run_duration_seconds_sum{handler="slow"}'] < 5
    assert {'handler_runs_total{handler="slow",outcome="handler_timeout"}': 1} == of(found, "handler_runs_total")


def test_requests_and_runs_in_progress_are_counted(keeping: Server, fake: FakeKeystone) -> None:
    """Two identical concurrent requests are two requests in progress and one run, which one of them shares."""
    nova, go_on = fake.issue("service"), threading.Event()

    async def wait(run: int) -> object:
        await asyncio.to_thread(go_on.wait, 60)
        return run

    handler_of(keeping, "scripted").script = wait
    asking = [threading.Thread(target=keeping.ask, args=("/scripted", nova)) for _ in range(2)]
    for thread in asking:
        thread.start()
    wait_for(keeping.admin, "requests_in_progress", 2)
    found = wait_for(keeping.admin, 'handler_runs_in_progress{handler="scripted"}', 1)
    assert {'handler_runs_in_progress{handler="scripted"}': 1} == of(found, "handler_runs_in_progress")
    go_on.set()
    for thread in asking:
        thread.join()
    found = wait_for(keeping.admin, "requests_in_progress", 0)
    assert {} == of(found, "handler_runs_in_progress")
    assert {'handler_runs_total{handler="scripted",outcome="ok"}': 1} == of(found, "handler_runs_total")
    assert {
        'handler_answers_total{handler="scripted",source="run"}': 1,
        'handler_answers_total{handler="scripted",source="shared"}': 1,
    } == of(found, "handler_answers_total")


def test_answers_are_counted_by_source(tmp_path: Path, fake: FakeKeystone, clock: Clock) -> None:
    """Answers are counted as run, cache, stale or empty; failures are counted even if a fallback hides them."""
    handlers = ", ".join(f"tests.support.handlers.keeping:{name}" for name in ("Cached", "Stale", "Empty", "Scripted"))

    async def fail(_: int) -> object:
        raise UpstreamError

    async def not_yet(_: int) -> object:
        raise NotYet

    with running(write_config(tmp_path, fake, handlers=handlers), clock) as server:
        nova = fake.issue("service")
        for path in ("/cached", "/cached", "/stale"):
            server.ask(path, nova)
        clock.now += 61
        for name in ("stale", "empty"):
            handler_of(server, name).script = fail
            server.ask(f"/{name}", nova)
        handler_of(server, "scripted").script = not_yet
        server.ask("/scripted", nova)
        found = wait_for(server.admin, 'requests_total{code="",path="/scripted",status="200"}', 1)
    assert {
        'handler_answers_total{handler="cached",source="run"}': 1,
        'handler_answers_total{handler="cached",source="cache"}': 1,
        'handler_answers_total{handler="stale",source="run"}': 1,
        'handler_answers_total{handler="stale",source="stale"}': 1,
        'handler_answers_total{handler="empty",source="empty"}': 1,
        'handler_answers_total{handler="scripted",source="run"}': 1,
    } == of(found, "handler_answers_total")
    assert {
        'handler_failures_total{code="upstream_failed",handler="stale"}': 1,
        'handler_failures_total{code="upstream_failed",handler="empty"}': 1,
    } == of(found, "handler_failures_total")
    assert {
        'handler_runs_total{handler="cached",outcome="ok"}': 1,
        'handler_runs_total{handler="stale",outcome="ok"}': 1,
        'handler_runs_total{handler="stale",outcome="upstream_failed"}': 1,
        'handler_runs_total{handler="empty",outcome="upstream_failed"}': 1,
        'handler_runs_total{handler="scripted",outcome="not_yet"}': 1,
    } == of(found, "handler_runs_total")


def test_pinned_answers_have_the_source_pin(tmp_path: Path, fake: FakeKeystone) -> None:
    """Each answer of a pinning handler has the source pin, also the first one."""
    config = write_config(
        tmp_path,
        fake,
        handlers="tests.support.handlers.keeping:Pinned",
        sections=f"[handler:pinned]\nruns = {tmp_path}\n",
    )
    with running(config) as server:
        for _ in range(3):
            assert 200 == server.ask("/pinned", fake.issue("service")).status_code
        found = wait_for(server.admin, 'requests_total{code="",path="/pinned",status="200"}', 3)
    assert {'handler_answers_total{handler="pinned",source="pin"}': 3} == of(found, "handler_answers_total")
    assert {'handler_runs_total{handler="pinned",outcome="ok"}': 1} == of(found, "handler_runs_total")


def test_an_open_circuit_is_counted_without_a_run(keeping: Server, fake: FakeKeystone) -> None:
    """A request that the circuit breaker rejects is counted as a failure and not as a run."""

    async def fail(_: int) -> object:
        raise ServiceUnavailable

    handler_of(keeping, "scripted").script = fail
    nova = fake.issue("service")
    for _ in range(6):
        assert 503 == keeping.ask("/scripted", nova).status_code
    found = wait_for(keeping.admin, 'requests_total{code="circuit_open",path="/scripted",status="503"}', 1)
    assert {
        'handler_failures_total{code="unavailable",handler="scripted"}': 5,
        'handler_failures_total{code="circuit_open",handler="scripted"}': 1,
    } == of(found, "handler_failures_total")
    assert {'handler_runs_total{handler="scripted",outcome="unavailable"}': 5} == of(found, "handler_runs_total")


def test_token_validations_and_cache_hits_are_counted(server: Server, fake: FakeKeystone) -> None:
    """Validations are counted by outcome; a cached token, valid or rejected, is counted as a cache hit."""
    nova = fake.issue("service")
    for token in (nova, nova, nova, "unknown", "unknown", None, "a b"):
        server.ask("/echo", token)
    fake.stop()
    server.ask("/echo", fake.issue("service"))
    found = wait_for(server.admin, 'requests_total{code="keystone_unavailable",path="/echo",status="503"}', 1)
    assert {
        'token_validations_total{outcome="valid"}': 1,
        'token_validations_total{outcome="invalid"}': 1,
        'token_validations_total{outcome="unavailable"}': 1,
        "token_validation_duration_seconds_count": 3,
    } == of(found, "token_validations_total", "token_validation_duration_seconds_count")
    assert {"token_cache_hits_total": 2} == of(found, "token_cache_hits_total")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("PUT", 405)])
def test_metrics_are_read_only(house: House, method: str, status: int) -> None:
    """Only GET and HEAD are allowed for /-/metrics."""
    assert status == house.server.admin.request(method, "/-/metrics").status_code


def test_two_servers_in_one_process_have_their_own_metrics(tmp_path: Path, fake: FakeKeystone, server: Server) -> None:
    """A request to one server is not counted by another in the same process."""
    (tmp_path / "other").mkdir()
    with running(write_config(tmp_path / "other", fake)) as other:
        other.ask("/echo", fake.issue("service"))
        wait_for(other.admin, 'requests_total{code="",path="/echo",status="200"}', 1)
        assert {} == of(scrape(server.admin), "requests_total")


def test_a_blocked_event_loop_is_counted(tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture) -> None:
    """Each time the event loop is blocked is counted once."""
    with running(write_config(tmp_path, fake, handlers="tests.support.handlers.keeping:Scripted")) as server:

        async def block(run: int) -> object:
            wait_until(lambda: "blocked the event loop" in caplog.text)
            return run

        handler_of(server, "scripted").script = block
        server.ask("/scripted", fake.issue("service"))
        blocked = caplog.text.count("blocked the event loop")  # a busy machine may block it as well
        assert {"event_loop_blocked_total": blocked} == of(scrape(server.admin), "event_loop_blocked_total")
