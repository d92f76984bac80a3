"""What workers have counted, as text: what is in it, and what is not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.pages import ROOT
from tests.support.scraping import of, samples
from tests.support.serving import write_config
from vendorsrv import UpstreamError
from vendorsrv.telemetry.exposition import expose
from vendorsrv.telemetry.metrics import HandlerMetrics, Metrics

#: A process of its own: a worker sets up the logging of all.
WORKER = """\
from vendorsrv.server.app import from_environment
from vendorsrv.telemetry.exposition import expose
print(expose(from_environment().metrics.counts, "")[0].decode())
"""


def found_in(metrics: Metrics) -> dict[str, float]:
    """Give the samples that are not 0."""
    return samples(expose(metrics.counts, "")[0].decode())


def test_an_error_of_a_vendor_s_own_counts_as_ours_that_it_is_derived_from() -> None:
    """Its code is the vendor's word, and there could be any number of them."""

    class NoLicence(UpstreamError):
        status, code = 599, "no_licence"

    metrics = Metrics()
    handler = HandlerMetrics(metrics, "mail")
    handler.failed(NoLicence())
    with pytest.raises(NoLicence), handler.run():
        raise NoLicence
    text, _ = expose(metrics.counts, "")
    assert b'vendorsrv_handler_failures_total{code="upstream_failed",handler="mail"} 1.0\n' in text
    assert b'vendorsrv_handler_runs_total{handler="mail",outcome="upstream_failed"} 1.0\n' in text


def test_an_error_that_is_none_of_ours_is_an_internal_one() -> None:
    """Nobody knows how it got so far."""
    metrics = Metrics()
    handler = HandlerMetrics(metrics, "mail")
    with pytest.raises(asyncio.CancelledError), handler.run():
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
def test_the_format_is_the_one_that_is_asked_for(house: House, accept: str | None, content_type: str) -> None:
    """Prometheus's own text where nothing better is known."""
    response = house.server.client.get("/-/metrics", headers={} if accept is None else {"Accept": accept})
    assert content_type == response.headers["content-type"].partition("; escaping")[0]
    assert response.text.endswith("# EOF\n") is ("openmetrics" in content_type)


def test_what_an_older_version_has_counted_is_left_out() -> None:
    """After an upgrade, until its workers have gone."""
    metrics = Metrics()
    for key in (("vendorsrv_gone_total",), ("vendorsrv_requests_total", "/mail"), ("vendorsrv_workers", "1", "2")):
        metrics.counts.values[metrics.counts.place(key)] += 1
    text, _ = expose(metrics.counts, "")
    assert [] == [line for line in text.decode().splitlines() if "gone" in line or "/mail" in line or '"2"' in line]


def test_a_worker_that_has_ended_is_no_worker_any_more(tmp_path: Path) -> None:
    """But what it has counted is counted."""
    first, second = Metrics(), Metrics()
    for metrics in (first, second):
        metrics.share(str(tmp_path))
        metrics.tally("vendorsrv_tokens_known_total").add()
    del metrics, second
    found = found_in(first)
    assert {"workers": 1, "worker_starts_total": 2} == of(found, "workers", "worker_starts_total")
    assert {"tokens_known_total": 2} == of(found, "tokens_known_total")


def test_who_cannot_share_counts_alone_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """To serve is more important."""
    metrics = Metrics()
    metrics.share(str(tmp_path / "none"))
    assert ["the metrics of this worker are its own alone: No such file or directory"] == caplog.messages
    assert 1 == found_in(metrics)["vendorsrv_workers"]


@pytest.mark.parametrize(("shares", "workers"), [(True, 2), (False, 1)])
def test_a_worker_s_application_shares_what_it_counts(
    tmp_path: Path, fake: FakeKeystone, monkeypatch: pytest.MonkeyPatch, *, shares: bool, workers: int
) -> None:
    """In the directory that ``serve`` made; another server of ASGI applications makes none."""
    monkeypatch.setenv("VENDORSRV_CONFIG_FILE", str(write_config(tmp_path, fake)))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if shares:
        monkeypatch.setenv("VENDORSRV_METRICS_DIRECTORY", str(tmp_path))
    metrics = Metrics()
    metrics.share(str(tmp_path))
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    assert workers == samples(done.stdout)["vendorsrv_workers"]
    assert 1 == found_in(metrics)["vendorsrv_workers"]
