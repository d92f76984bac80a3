"""The metrics of a worker: counters that cost the event loop little."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

from vendorsrv.errors import (
    HandlerTimeout,
    NotYet,
    ServiceUnavailable,
    Unauthorized,
    UpstreamRefused,
    VendordataError,
    all_errors,
)
from vendorsrv.telemetry.families import FAMILIES
from vendorsrv.telemetry.shared_counts import Counts, Key

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Upper bounds of the buckets in seconds; Nova's timeout is 5.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0)
BUCKETS: Final = (*map(str, BOUNDS), "+Inf")
SUM: Final = "sum"
#: The label of all unknown paths: a client must not be able to create time series.
OTHER: Final = "other"
#: Where an answer comes from (:attr:`vendorsrv.answer.Answer.source`).
SOURCES: Final = ("run", "shared", "cache", "pin", "stale", "empty")


class Counter:
    """A number that only grows."""

    __slots__ = ("counts", "index")

    def __init__(self, counts: Counts, key: Key) -> None:
        self.counts = counts
        self.index = counts.index(key)

    def inc(self, amount: float = 1.0) -> None:
        """Add to the number; always from the same thread."""
        self.counts.values[self.index] += amount


class Gauge(Counter):
    """A number that grows and shrinks."""

    __slots__ = ()

    def set(self, number: float) -> None:
        """Set the number; always from the same thread, or under a lock."""
        self.counts.values[self.index] = number

    def dec(self) -> None:
        """Subtract 1 from the number; always from the same thread."""
        self.inc(-1.0)


class Histogram:
    """Durations in seconds, counted by bucket."""

    __slots__ = ("counts", "first", "sum")

    def __init__(self, counts: Counts, key: Key) -> None:
        self.counts = counts
        self.first, *_, self.sum = (counts.index((*key, part)) for part in (*BUCKETS, SUM))

    def observe(self, seconds: float) -> None:
        """Count one duration; always from the same thread."""
        values = self.counts.values
        values[self.first + bisect_left(BOUNDS, seconds)] += 1.0
        values[self.sum] += seconds


@dataclass(frozen=True, slots=True)
class Operation:
    """The metrics of an operation: its outcomes, its durations and how many are in progress.

    :ivar outcomes: by the class of the exception, None when there is none; an exception of another class counts as
        its nearest base class.
    """

    outcomes: Mapping[type[BaseException] | None, Counter]
    durations: Histogram
    in_progress: Gauge | None = None

    def measure(self) -> Measurement:
        """Return the context in which the operation is done once."""
        return Measurement(self)


class Measurement:
    """The context of one operation."""

    __slots__ = ("operation", "started")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    def __enter__(self) -> None:
        self.started = time.monotonic()
        if self.operation.in_progress is not None:
            self.operation.in_progress.inc()

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        operation = self.operation
        operation.durations.observe(time.monotonic() - self.started)
        (operation.outcomes.get(kind) or find_nearest(operation.outcomes, kind)).inc()
        if operation.in_progress is not None:
            operation.in_progress.dec()


class HandlerMetrics:
    """The metrics of one handler.

    :ivar runs: those of its runs.
    """

    def __init__(self, metrics: Metrics, handler: str) -> None:
        self.answers = {each: metrics.counter("vendorsrv_handler_answers_total", handler, each) for each in SOURCES}
        self.failures = error_counters(metrics, "vendorsrv_handler_failures_total", handler, least=500)
        runs = "vendorsrv_handler_runs_total"
        self.runs = Operation(
            {
                **error_counters(metrics, runs, handler),
                None: metrics.counter(runs, handler, "ok"),
                NotYet: metrics.counter(runs, handler, "not_yet"),
            },
            metrics.histogram("vendorsrv_handler_run_duration_seconds", handler),
            metrics.gauge("vendorsrv_handler_runs_in_progress", handler),
        )

    def answered(self, source: str) -> None:
        """Count an answer; the source is one of :data:`SOURCES`."""
        self.answers[source].inc()

    def failed(self, error: VendordataError) -> None:
        """Count a request for which the handler has no answer."""
        find_nearest(self.failures, type(error)).inc()


class RequestMetrics:
    """The metrics of HTTP requests.

    :param paths: the paths with metrics of their own.
    """

    def __init__(self, metrics: Metrics, paths: Iterable[str]) -> None:
        self.in_progress = metrics.gauge("vendorsrv_requests_in_progress")
        self.paths = {path: response_metrics(metrics, path) for path in (*paths, OTHER)}

    def ended(self, path: str, outcome: int | type[BaseException], seconds: float) -> None:
        """Count a request.

        :param outcome: 200, or the class of the error.
        """
        responses, durations = self.paths.get(path) or self.paths[OTHER]
        find_nearest(responses, outcome).inc()
        durations.observe(seconds)


class Metrics:
    """All metrics of a worker. Those with labels must be created before :meth:`share`."""

    def __init__(self) -> None:
        self.counts = Counts()
        for name, family in FAMILIES.items():
            if not family.labels and family.kind != "histogram":
                self.counter(name)
        self.gauge("vendorsrv_workers").inc()
        self.counter("vendorsrv_worker_starts_total").inc()
        self.gauge("vendorsrv_build_info", version("vendorsrv")).inc()

    def counter(self, name: str, *labels: str) -> Counter:
        """Return the counter with these values of its labels."""
        return Counter(self.counts, (name, *labels))

    def gauge(self, name: str, *labels: str) -> Gauge:
        """Return the gauge with these values of its labels."""
        return Gauge(self.counts, (name, *labels))

    def histogram(self, name: str, *labels: str) -> Histogram:
        """Return the histogram with these values of its labels."""
        return Histogram(self.counts, (name, *labels))

    def token_validations(self) -> Operation:
        """Return the metrics of token validations."""
        outcomes = {None: "valid", Unauthorized: "invalid", BaseException: "unavailable"}
        return Operation(
            {kind: self.counter("vendorsrv_token_validations_total", outcome) for kind, outcome in outcomes.items()},
            self.histogram("vendorsrv_token_validation_duration_seconds"),
        )

    def upstream_requests(self, handler: str, url: int) -> Operation:
        """Return the metrics of the requests to one of a proxy's URLs, numbered from 0 as in the configuration."""
        labels = (handler, str(url))
        outcomes = {None: "ok", UpstreamRefused: "refused", HandlerTimeout: "timeout", BaseException: "failed"}
        name = "vendorsrv_upstream_requests_total"
        return Operation(
            {kind: self.counter(name, *labels, outcome) for kind, outcome in outcomes.items()},
            self.histogram("vendorsrv_upstream_request_duration_seconds", *labels),
        )

    def client_requests(self, handler: str) -> Operation:
        """Return the metrics of the requests of a handler's ``self.http``."""
        outcomes = {None: "ok", ServiceUnavailable: "unavailable", BaseException: "failed"}
        name = "vendorsrv_client_requests_total"
        return Operation(
            {kind: self.counter(name, handler, outcome) for kind, outcome in outcomes.items()},
            self.histogram("vendorsrv_client_request_duration_seconds", handler),
        )

    def share(self, directory: str) -> None:
        """Share the metrics with the other workers from now on, or warn that this is not possible."""
        try:
            self.counts.share(Path(directory))
        except OSError as error:
            LOG.warning("this worker does not share its metrics with the other workers: %s", error.strerror)


def error_counters(
    metrics: Metrics, name: str, label: str, least: int = 0
) -> dict[type[BaseException] | None, Counter]:
    """Return the counters of the errors from a status on; any other exception counts as an internal error."""
    errors = [each for each in all_errors() if each.status >= least]
    return {
        BaseException: metrics.counter(name, label, VendordataError.code),
        **{each: metrics.counter(name, label, each.code) for each in errors},
    }


def response_metrics(metrics: Metrics, path: str) -> tuple[dict[Any, Counter], Histogram]:
    """Return the counters of a path's possible responses, and the histogram of their durations."""
    name = "vendorsrv_requests_total"
    errors = {error: metrics.counter(name, path, str(error.status), error.code) for error in all_errors()}
    return (
        {200: metrics.counter(name, path, "200", ""), **errors, BaseException: errors[VendordataError]},
        metrics.histogram("vendorsrv_request_duration_seconds", path),
    )


def find_nearest(table: Mapping[Any, T], kind: Any) -> T:
    """Return the value of a class or of its nearest base class in the table."""
    return table.get(kind) or next(table[each] for each in kind.__mro__ if each in table)
