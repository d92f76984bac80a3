"""The metrics of all workers in Prometheus's text formats."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Final, cast

from vendorsrv.errors import ConfigError, ServiceUnavailable
from vendorsrv.telemetry.families import FAMILIES
from vendorsrv.telemetry.metrics import BUCKETS, SUM
from vendorsrv.telemetry.shared_counts import Counts, Key, add

if TYPE_CHECKING:  # imported by the first request for metrics
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

#: Seconds for which a text is kept; Prometheus scrapes every 15 or 60.
KEPT: Final = 1.0
#: Scrapes that may wait for a text. Those whose clients have gone wait too, with 40 KB each.
WAITING: Final = 64


class CountsCollector:
    """A collector for prometheus_client that returns the sums over all workers."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def collect(self) -> Iterator[Metric]:
        """Return all metrics; reads files."""
        living, ended = self.counts.totals()
        # A gauge's value ends with its process.
        add(living, {key: n for key, n in ended.items() if is_known(key) and FAMILIES[key[0]].kind != "gauge"})
        of_family: dict[str, dict[Key, float]] = {name: {} for name in FAMILIES}
        for key, number in living.items():
            if is_known(key):
                of_family[key[0]][key[1:]] = min(number, 1.0) if key[0] == "vendorsrv_build_info" else number
        for name, numbers in of_family.items():
            yield as_metric(name, numbers)


def expose(counts: Counts, accept: str) -> tuple[bytes, str]:
    """Return the metrics of all workers and their content type. Reads files, so call it in a thread.

    :param accept: the request's header ``Accept``, which selects one of Prometheus's formats.
    """
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return encode(cast("Collector", CountsCollector(counts))), content_type


def serve_metrics(counts: Counts, host: str, port: int) -> Callable[[], None]:
    """Serve the metrics of a process that is no server, from a thread of their own; return what ends that.

    :raises ConfigError: the address is taken, or is none of this machine.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(cast("Collector", CountsCollector(counts)))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigError(f"cannot listen on metrics_host {host} port {port}: {error.strerror}") from None

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


class Exposition:
    """The text for scrapes: a worker creates one at a time, and keeps that of each format for :data:`KEPT` seconds.

    Scrapers without pause would otherwise take from Nova's requests the time of the event loop.

    :param clock: seconds that only go forward.
    """

    def __init__(self, counts: Counts, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts, self.clock = counts, clock
        self.lock = asyncio.Lock()
        self.waiting = 0
        #: By content type, of which Prometheus has a handful: when it was begun, and the text.
        self.kept: dict[str, tuple[float, bytes]] = {}

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return what :func:`expose` returns, counted at most :data:`KEPT` seconds before this call or after it.

        :raises ServiceUnavailable: too many wait.
        """
        from prometheus_client.exposition import choose_encoder

        if self.waiting >= WAITING:
            raise ServiceUnavailable("too many scrapes wait for an answer")
        _, content_type = choose_encoder(accept)
        asked = self.clock()
        self.waiting += 1
        try:
            async with self.lock:
                return await self.fresh(asked, accept, content_type), content_type
        finally:
            self.waiting -= 1

    async def fresh(self, asked: float, accept: str, content_type: str) -> bytes:
        begun, text = self.kept.get(content_type, (-math.inf, b""))
        if asked - begun >= KEPT:  # not the time now: who waited for a slow text takes it
            begun = self.clock()
            text, _ = await asyncio.to_thread(expose, self.counts, accept)
            self.kept[content_type] = (begun, text)
        return text


def is_known(key: Key) -> bool:
    """Whether this version has the metric: after an upgrade, workers of two versions may run for some time."""
    family = FAMILIES.get(key[0])
    return family is not None and len(key) == 1 + len(family.labels) + (family.kind == "histogram")


def as_metric(name: str, numbers: Mapping[Key, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    family = FAMILIES[name]
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
        for labels in dict.fromkeys(key[:-1] for key in numbers):
            sums = list(accumulate(numbers.get((*labels, bucket), 0.0) for bucket in BUCKETS))
            if sums[-1]:  # most of the text are histograms, and most paths and handlers of a big server are idle
                histogram.add_metric(labels, list(zip(BUCKETS, sums, strict=True)), numbers.get((*labels, SUM), 0.0))
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(name, family.help, labels=family.labels)
    for labels, number in numbers.items():
        metric.add_metric(labels, number)
    return metric
