"""What all workers have counted, as text for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from vendorsrv.telemetry.metrics import BUCKETS, FAMILIES, SUM
from vendorsrv.telemetry.shared_counts import Counts, Key, add

if TYPE_CHECKING:  # nobody may ever ask for it
    from prometheus_client import Metric
    from prometheus_client.registry import Collector


class Collected:
    """The sums over all workers, by the shape a Collector of prometheus_client's."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def collect(self) -> Iterator[Metric]:
        """Give all metrics; reads files."""
        living, ended = self.counts.totals()
        add(living, {key: number for key, number in ended.items() if is_known(key) and lasts(key)})
        of_family: dict[str, dict[Key, float]] = {name: {} for name in FAMILIES}
        for key, number in living.items():
            if is_known(key):
                of_family[key[0]][key[1:]] = number
        for name, numbers in of_family.items():
            yield as_metric(name, numbers)


def expose(counts: Counts, accept: str) -> tuple[bytes, str]:
    """Give the metrics of all workers, and their content type. Reads files: not for the event loop.

    :param accept: the request's header ``Accept``; it says which of Prometheus's formats is wanted.
    """
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return encode(cast("Collector", Collected(counts))), content_type


def is_known(key: Key) -> bool:
    """Say whether this version has such a metric: after an upgrade workers of two versions count side by side."""
    family = FAMILIES.get(key[0])
    return family is not None and len(key) == 1 + len(family.labels) + (family.kind == "histogram")


def lasts(key: Key) -> bool:
    """Say whether a number still counts when its process has ended."""
    return FAMILIES[key[0]].kind != "gauge"


def as_metric(name: str, numbers: Mapping[Key, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    family = FAMILIES[name]
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
        for labels in dict.fromkeys(key[:-1] for key in numbers):
            sums = accumulate(numbers.get((*labels, bucket), 0.0) for bucket in BUCKETS)
            histogram.add_metric(labels, list(zip(BUCKETS, sums, strict=True)), numbers.get((*labels, SUM), 0.0))
        return histogram
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = made(name, family.help, labels=family.labels)
    for labels, number in numbers.items():
        metric.add_metric(labels, number)
    return metric
