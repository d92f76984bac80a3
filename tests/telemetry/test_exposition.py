"""The text of /-/metrics: formats, unknown metrics, and the sums over workers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import real_peers as peers
from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.pages import ROOT
from tests.support.scraping import of, samples
from tests.support.serving import write_config
from vendorsrv import ServiceUnavailable, UpstreamError, __version__
from vendorsrv.telemetry.exposition import Exposition, expose
from vendorsrv.telemetry.metrics import HandlerMetrics, Metrics
from vendorsrv.testing.clock import ManualClock

#: Runs in a process of its own, since a worker configures logging.
WORKER = """\
from vendorsrv.server.app import from_environment
from vendorsrv.telemetry.exposition import expose
print(expose(from_environment().metrics.counts, "")[0].decode())
"""


def found_in(metrics: Metrics) -> dict[str, float]:
    """Return the samples that are not 0."""
    return samples(expose(metrics.counts, "")[0].decode())


def test_a_vendor_s_error_counts_as_its_base_class() -> None:
    """An error class of a vendor is counted with the code of its base class in vendorsrv, not with its own."""

    class NoLicence(UpstreamError):
        status, code = 599, "no_licence"

    metrics = Metrics()
    handler = HandlerMetrics(metrics, "mail")
    handler.failed(NoLicence())
    with pytest.raises(NoLicence), handler.runs.measure():
        raise NoLicence
    text, _ = expose(metrics.counts, "")
    assert b'vendorsrv_handler_failures_total{code="upstream_failed",handler="mail"} 1.0\n' in text
    assert b'vendorsrv_handler_runs_total{handler="mail",outcome="upstream_failed"} 1.0\n' in text


def test_another_exception_counts_as_an_internal_error() -> None:
    """A run that ends with an exception that is no VendordataError is counted as internal_error."""
    metrics = Metrics()
    handler = HandlerMetrics(metrics, "mail")
    with pytest.raises(asyncio.CancelledError), handler.runs.measure():
        raise asyncio.CancelledError
    text, _ = expose(metrics.counts, "")
    assert b'vendorsrv_handler_runs_total{handler="mail",outcome="internal_error"} 1.0\n' in text


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_accept_header_selects_the_format(house: House, accept: str | None, content_type: str) -> None:
    """OpenMetrics is returned when the client accepts it, else Prometheus's text format."""
    response = house.server.admin.get("/-/metrics", headers={} if accept is None else {"Accept": accept})
    assert content_type == response.headers["content-type"].partition("; escaping")[0]
    assert response.text.endswith("# EOF\n") is ("openmetrics" in content_type)


def test_metrics_of_another_version_are_omitted() -> None:
    """Numbers of a worker of another version whose metrics this one does not know are omitted."""
    metrics = Metrics()
    for key in (("vendorsrv_lost_total",), ("vendorsrv_requests_total", "/mail"), ("vendorsrv_workers", "1", "2")):
        metrics.counts.values[metrics.counts.index(key)] += 1
    text, _ = expose(metrics.counts, "")
    assert [] == [line for line in text.decode().splitlines() if "lost" in line or "/mail" in line or '"2"' in line]


def test_gauges_end_with_their_worker(tmp_path: Path) -> None:
    """After a worker ends, its counters stay in the sums and its gauges do not."""
    first, second = Metrics(), Metrics()
    for metrics in (first, second):
        metrics.share(str(tmp_path))
        metrics.counter("vendorsrv_token_cache_hits_total").inc()
    del metrics, second
    found = found_in(first)
    assert {"workers": 1, "worker_starts_total": 2} == of(found, "workers", "worker_starts_total")
    assert {"token_cache_hits_total": 2} == of(found, "token_cache_hits_total")


def test_a_worker_that_cannot_share_its_metrics_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that cannot share its metrics logs a warning and counts alone."""
    metrics = Metrics()
    metrics.share(str(tmp_path / "none"))
    assert [
        "this worker does not share its metrics with the other workers: No such file or directory"
    ] == caplog.messages
    assert 1 == found_in(metrics)["vendorsrv_workers"]


@pytest.mark.parametrize(("shares", "workers"), [(True, 2), (False, 1)])
def test_an_application_shares_its_metrics(
    tmp_path: Path, fake: FakeKeystone, monkeypatch: pytest.MonkeyPatch, *, shares: bool, workers: int
) -> None:
    """An application shares its metrics if the environment names a directory, as it does under ``serve``."""
    monkeypatch.setenv("VENDORSRV_CONFIG_FILE", str(write_config(tmp_path, fake)))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if shares:
        monkeypatch.setenv("VENDORSRV_METRICS_DIRECTORY", str(tmp_path))
    metrics = Metrics()
    metrics.share(str(tmp_path))
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    found = samples(done.stdout)
    assert (workers, 1) == (found["vendorsrv_workers"], found[f'vendorsrv_build_info{{version="{__version__}"}}'])
    assert 1 == found_in(metrics)["vendorsrv_workers"]


def test_a_text_is_kept_for_a_second() -> None:
    """Scrapes within a second get the same text, and a later one gets a new one."""
    clock, metrics = ManualClock(), Metrics()
    waits = metrics.counter("vendorsrv_pin_waits_total")
    exposition = Exposition(metrics.counts, clock)

    async def scrape() -> float:
        text, _ = await exposition.text("")
        return samples(text.decode()).get("vendorsrv_pin_waits_total", 0.0)

    found = [asyncio.run(scrape())]
    for seconds in (0.9, 0.2):
        waits.inc()
        clock.advance(seconds)
        found.append(asyncio.run(scrape()))
    assert [0, 0, 2] == found


def test_concurrent_scrapes_share_one_text() -> None:
    """Fifty scrapers that ask at once cost the worker one text."""
    exposition = Exposition(Metrics().counts, ManualClock())

    async def scrape() -> list[tuple[bytes, str]]:
        return await asyncio.gather(*(exposition.text("") for _ in range(50)))

    assert 1 == len({id(text) for text, _ in asyncio.run(scrape())})


def test_each_format_is_kept_apart() -> None:
    """A scraper that accepts OpenMetrics does not get the text that was kept for another."""
    exposition = Exposition(Metrics().counts, ManualClock())

    async def scrape() -> tuple[bytes, bytes]:
        plain, _ = await exposition.text("")
        openmetrics, _ = await exposition.text("application/openmetrics-text; version=1.0.0")
        return plain[-6:], openmetrics[-6:]

    plain, openmetrics = asyncio.run(scrape())
    assert (True, False) == (openmetrics == b"# EOF\n", plain == b"# EOF\n")


def test_scrapes_that_would_wait_behind_many_are_refused() -> None:
    """When 64 scrapes wait for a text, further ones are refused at once; they are answered when it is there."""

    async def scrape() -> tuple[list[str], int]:
        exposition = Exposition(Metrics().counts)
        waiting = [asyncio.create_task(exposition.text("")) for _ in range(64)]
        await asyncio.sleep(0)
        refused = []
        for _ in range(2):
            try:
                await exposition.text("")
            except ServiceUnavailable as error:
                refused.append(error.message)
        await asyncio.gather(*waiting)
        await exposition.text("")
        return refused, exposition.waiting

    assert (["too many scrapes wait for an answer"] * 2, 0) == asyncio.run(scrape())


def test_idle_histograms_are_left_out_and_idle_counters_are_zero() -> None:
    """A handler that was never asked has no histogram, and its error counters begin at 0, as rate() needs it."""
    metrics = Metrics()
    handler = HandlerMetrics(metrics, "mail")
    before, _ = expose(metrics.counts, "")
    assert b'vendorsrv_handler_run_duration_seconds_count{handler="mail"}' not in before
    assert b'vendorsrv_handler_runs_total{handler="mail",outcome="upstream_failed"} 0.0\n' in before
    with handler.runs.measure():
        pass
    after, _ = expose(metrics.counts, "")
    assert b'vendorsrv_handler_run_duration_seconds_count{handler="mail"} 1.0\n' in after
