"""The metrics of proxies, pins and the shared cache."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.support.fake_keystone import FakeKeystone
from tests.support.pin_stores import body_of, make_table, with_store
from tests.support.scraping import of, samples, scrape, wait_for
from tests.support.serving import INSTANCE, free_port, running, section, write_config
from tests.support.upstreams import Other, proxy, proxying
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.telemetry.exposition import expose
from vendorsrv.telemetry.metrics import Metrics
from vendorsrv.testing.upstream import Reply


def test_upstream_requests_are_counted_by_url_and_outcome(tmp_path: Path) -> None:
    """A proxy's requests are counted by outcome and by the URL's position, since a URL may contain a secret."""
    with Other() as first, Other() as second, proxying(tmp_path, proxy(url=[first.url, second.url])) as front:
        front.ask()
        first.reply = Reply(b"{}", status=404)
        front.ask()
        first.stop()
        front.ask()
        front.ask()
        found = scrape(front.server.admin)
        text = front.server.admin.get("/-/metrics").text
    assert {
        'upstream_requests_total{handler="rack",outcome="ok",url="0"}': 1,
        'upstream_requests_total{handler="rack",outcome="refused",url="0"}': 1,
        'upstream_requests_total{handler="rack",outcome="failed",url="0"}': 1,
        'upstream_requests_total{handler="rack",outcome="ok",url="1"}': 2,
    } == of(found, "upstream_requests_total")
    assert 3 == found['vendorsrv_upstream_request_duration_seconds_count{handler="rack",url="0"}']
    assert "ams1" not in text


def test_an_upstream_timeout_has_its_own_outcome(tmp_path: Path) -> None:
    """An upstream request that exceeds read_timeout has the outcome timeout."""
    with Other() as other, proxying(tmp_path, proxy(url=other.url, read_timeout=0.1)) as front:
        other.delay = 60.0
        assert 504 == front.ask().status_code
        found = of(scrape(front.server.admin), "upstream_requests_total")
    assert {'upstream_requests_total{handler="rack",outcome="timeout",url="0"}': 1} == found


def test_a_wait_for_another_worker_s_pin_is_counted_once(tmp_path: Path) -> None:
    """A request that waits for another worker to create the pin is counted once, however long it waits."""
    url = f"sqlite:///{tmp_path}/pins.db"
    make_table(url)
    metrics, begun = Metrics(), asyncio.Event()

    def waits() -> float:
        return samples(expose(metrics.counts, "")[0].decode()).get("vendorsrv_pin_waits_total", 0)

    async def slowly() -> bytes:
        begun.set()
        while not waits():  # noqa: ASYNC110 - a count that another task changes
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        return b"made"

    async def work(store: PinStore) -> list[bytes]:
        key = (INSTANCE, "mail")
        first, second = Pins(store, PinCipher([]), 60.0), Pins(store, PinCipher([]), 60.0, metrics=metrics)
        making = asyncio.create_task(body_of(first, key, slowly, 60.0))
        await begun.wait()
        return [await body_of(second, key, slowly, 60.0), await making]

    assert [b"made", b"made"] == with_store(url, work)
    assert 1 == waits()


def test_a_failure_of_the_shared_cache_is_counted_once(tmp_path: Path, fake: FakeKeystone) -> None:
    """Requests that bypass the cache after a failure do not count as further failures."""
    cache = {"enabled": True, "backend": "dogpile.cache.redis", "redis_server": f"127.0.0.1:{free_port()}"}
    config = write_config(
        tmp_path, fake, handlers="tests.support.handlers.keeping:Cached", sections=section("cache", cache)
    )
    with running(config) as server:
        for _ in range(3):
            assert 200 == server.ask("/cached", fake.issue("service")).status_code
        found = wait_for(server.admin, 'requests_total{code="",path="/cached",status="200"}', 3)
    assert {"cache_failures_total": 1} == of(found, "cache_failures_total")


#: The codes of errors with a status of 500 and above; `internal_error` stands for every other exception.
SERVER_ERRORS = {
    *("internal_error", "handler_failed", "bad_answer", "bad_cloud_init", "upstream_failed", "upstream_refused"),
    *("unavailable", "keystone_unavailable", "policy_unavailable", "busy", "circuit_open", "pins_unavailable"),
    *("handler_timeout", "facts_unavailable", "facts_refused"),
}
CLIENT_ERRORS = {
    *("bad_request", "unauthorized", "forbidden", "not_found", "method_not_allowed", "too_many_requests"),
    *("body_timeout", "body_too_large", "head_too_large", "unsupported_media_type", "url_too_long"),
    "instance_deleted",
}


def test_every_counter_of_errors_begins_at_0(tmp_path: Path, fake: FakeKeystone) -> None:
    """Before the first request, each handler, path and upstream has a counter of each error, which is 0."""
    handlers = "tests.support.handlers.good:Plain, tests.support.handlers.cloudy:Five"
    with running(write_config(tmp_path, fake, handlers=handlers, sections=proxy(url="http://127.0.0.1:9/"))) as server:
        text = server.admin.get("/-/metrics").text

    def zeros(name: str, group: str, member: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for labels in re.findall(rf"^vendorsrv_{name}{{(.*)}} 0\.0$", text, re.MULTILINE):
            values = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            found.setdefault(values[group], set()).add(values[member])
        return found

    names = ("plain", "five", "five:cloud-init", "rack")
    assert dict.fromkeys(names, SERVER_ERRORS) == zeros("handler_failures_total", "handler", "code")
    outcomes = {"ok", "not_yet", *SERVER_ERRORS, *CLIENT_ERRORS}
    assert dict.fromkeys(names, outcomes) == zeros("handler_runs_total", "handler", "outcome")
    public = ("/plain/key.json", "/plain/async-key.json", "/plain/broken.json")
    paths = ("/", "/cloud-init", "/plain", "/five", "/rack", *public, "other")
    codes = {"", *SERVER_ERRORS, *CLIENT_ERRORS}
    assert dict.fromkeys(paths, codes) == zeros("requests_total", "path", "code")
    upstream = {"ok", "refused", "timeout", "failed"}
    assert {"rack": upstream} == zeros("upstream_requests_total", "handler", "outcome")
