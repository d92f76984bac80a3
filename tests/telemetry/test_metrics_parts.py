"""What proxies, pins and the shared cache count."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.support.fake_keystone import FakeKeystone
from tests.support.pin_stores import make_table, with_store
from tests.support.scraping import of, samples, scrape, wait_for
from tests.support.serving import INSTANCE, free_port, running, section, write_config
from tests.support.upstreams import Other, proxy, proxying
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.telemetry.exposition import expose
from vendorsrv.telemetry.metrics import Metrics
from vendorsrv.testing.upstream import Reply


def test_a_proxy_s_urls_are_told_apart_by_their_place(tmp_path: Path) -> None:
    """And its questions by how they ended; a URL may hold what is nobody's business."""
    with Other() as first, Other() as second, proxying(tmp_path, proxy(url=[first.url, second.url])) as front:
        front.ask()
        first.reply = Reply(b"{}", status=404)
        front.ask()
        first.stop()
        front.ask()
        front.ask()
        found = scrape(front.server.client)
        text = front.server.client.get("/-/metrics").text
    assert {
        'upstream_requests_total{handler="rack",outcome="ok",url="0"}': 1,
        'upstream_requests_total{handler="rack",outcome="refused",url="0"}': 1,
        'upstream_requests_total{handler="rack",outcome="failed",url="0"}': 1,
        'upstream_requests_total{handler="rack",outcome="ok",url="1"}': 2,
    } == of(found, "upstream_requests_total")
    assert 3 == found['vendorsrv_upstream_request_duration_seconds_count{handler="rack",url="0"}']
    assert "ams1" not in text


def test_a_proxy_s_slow_url_is_slow(tmp_path: Path) -> None:
    """Not failed: another cure helps."""
    with Other() as other, proxying(tmp_path, proxy(url=other.url, read_timeout=0.1)) as front:
        other.delay = 60.0
        assert 504 == front.ask().status_code
        found = of(scrape(front.server.client), "upstream_requests_total")
    assert {'upstream_requests_total{handler="rack",outcome="slow",url="0"}': 1} == found


def test_a_pin_that_another_worker_is_making_is_counted_by_who_waits(tmp_path: Path) -> None:
    """Once, however long it takes."""
    url = f"sqlite:///{tmp_path}/pins.db"
    make_table(url)
    metrics, begun = Metrics(), asyncio.Event()

    def conflicts() -> float:
        return samples(expose(metrics.counts, "")[0].decode()).get("vendorsrv_pin_conflicts_total", 0)

    async def slowly() -> bytes:
        begun.set()
        while not conflicts():  # noqa: ASYNC110 - a count that another task changes
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        return b"made"

    async def work(store: PinStore) -> list[bytes]:
        deadline = time.monotonic() + 60
        first, second = Pins(store, PinCipher([]), 60.0), Pins(store, PinCipher([]), 60.0, metrics=metrics)
        making = asyncio.create_task(first.get_or_make(INSTANCE, "mail", slowly, deadline))
        await begun.wait()
        return [await second.get_or_make(INSTANCE, "mail", slowly, deadline), await making]

    assert [b"made", b"made"] == with_store(url, work)
    assert 1 == conflicts()


def test_a_cache_that_is_away_is_counted(tmp_path: Path, fake: FakeKeystone) -> None:
    """Once for each time that it is left alone."""
    cache = {"enabled": True, "backend": "dogpile.cache.redis", "redis_server": f"127.0.0.1:{free_port()}"}
    config = write_config(
        tmp_path, fake, handlers="tests.support.handlers.keeping:Cached", sections=section("cache", cache)
    )
    with running(config) as server:
        for _ in range(3):
            assert 200 == server.ask("/cached", fake.issue("service")).status_code
        found = wait_for(server.client, 'requests_total{code="",path="/cached",status="200"}', 3)
    assert {"cache_failures_total": 1} == of(found, "cache_failures_total")
