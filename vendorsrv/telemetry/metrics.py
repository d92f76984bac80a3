"""What a worker counts: all metrics in one table, and hooks that cost the event loop next to nothing."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeVar

from vendorsrv.errors import HandlerTimeout, NotYet, Unauthorized, UpstreamRefused, VendordataError, all_errors
from vendorsrv.telemetry.shared_counts import Counts, Key

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Upper bounds of the buckets, in seconds; Nova gives up after 5.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0)
BUCKETS: Final = (*map(str, BOUNDS), "+Inf")
SUM: Final = "sum"
#: Stands for every path that is none of ours: who asks must not make new series.
OTHER: Final = "other"
#: Where an answer comes from (:attr:`vendorsrv.answer.Answer.source`).
SOURCES: Final = ("run", "joined", "cache", "pin", "stale", "empty")


class Family(NamedTuple):
    """One metric, with the names of its labels."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: Final[Mapping[str, Family]] = {
    "vendorsrv_requests_total": Family(
        "counter",
        "Requests that were answered, by path, HTTP status and code of the error.",
        ("path", "status", "code"),
    ),
    "vendorsrv_request_duration_seconds": Family(
        "histogram", "From a request's headers to the end of its answer, by path.", ("path",)
    ),
    "vendorsrv_requests_in_progress": Family("gauge", "Requests for vendordata that have no answer yet."),
    "vendorsrv_handler_answers_total": Family(
        "counter", "Answers of a handler, by where they came from.", ("handler", "source")
    ),
    "vendorsrv_handler_failures_total": Family(
        "counter", "Requests that a handler had no answer for, whatever on_error made of it.", ("handler", "code")
    ),
    "vendorsrv_handler_runs_total": Family("counter", "Runs of a handler, by how they ended.", ("handler", "outcome")),
    "vendorsrv_handler_run_duration_seconds": Family("histogram", "How long a handler ran.", ("handler",)),
    "vendorsrv_handler_runs_in_progress": Family("gauge", "Runs of a handler that have not ended.", ("handler",)),
    "vendorsrv_tokens_known_total": Family("counter", "Requests whose token needed no question to Keystone."),
    "vendorsrv_keystone_validations_total": Family(
        "counter", "Tokens that Keystone was asked about, by its answer.", ("outcome",)
    ),
    "vendorsrv_keystone_validation_duration_seconds": Family("histogram", "How long Keystone took for a token."),
    "vendorsrv_upstream_requests_total": Family(
        "counter", "Questions of a proxy to one of its URLs, by how they ended.", ("handler", "url", "outcome")
    ),
    "vendorsrv_upstream_request_duration_seconds": Family(
        "histogram", "How long one of a proxy's URLs took.", ("handler", "url")
    ),
    "vendorsrv_pin_conflicts_total": Family("counter", "Pins that another worker was just making, and was waited for."),
    "vendorsrv_pins_purged_total": Family("counter", "Pins that were deleted for their age."),
    "vendorsrv_cache_failures_total": Family(
        "counter", "Times that the shared cache did not answer and was left alone."
    ),
    "vendorsrv_event_loop_blocked_total": Family("counter", "Times that something blocked a worker for a second."),
    "vendorsrv_workers": Family("gauge", "Workers that are there."),
    "vendorsrv_worker_starts_total": Family("counter", "Workers that were started, those that have ended included."),
    "vendorsrv_build_info": Family("gauge", "Always 1 for each worker, by version.", ("version",)),
}


class Tally:
    """One number that is counted."""

    __slots__ = ("at", "counts")

    def __init__(self, counts: Counts, key: Key) -> None:
        self.counts = counts
        self.at = counts.place(key)

    def add(self, amount: float = 1.0) -> None:
        """Count; always from the same thread."""
        self.counts.values[self.at] += amount


class Times:
    """One histogram of seconds."""

    __slots__ = ("at", "counts", "sum")

    def __init__(self, counts: Counts, key: Key) -> None:
        self.counts = counts
        self.at, *_, self.sum = (counts.place((*key, part)) for part in (*BUCKETS, SUM))

    def observe(self, seconds: float) -> None:
        """Count one duration; always from the same thread."""
        values = self.counts.values
        values[self.at + bisect_left(BOUNDS, seconds)] += 1.0
        values[self.sum] += seconds


class Work:
    """Counts how something ends, how long it takes, and how often it goes on right now.

    :param outcomes: by the class of what is raised, None when nothing is; an error of another class counts as the
        nearest one that it is derived from.
    """

    def __init__(
        self, outcomes: Mapping[type[BaseException] | None, Tally], times: Times, in_progress: Tally | None = None
    ) -> None:
        self.outcomes = outcomes
        self.times = times
        self.in_progress = in_progress

    def __call__(self) -> Run:
        """Give the context in which it is done once."""
        return Run(self)


class Run:
    """Something that is done once: a context."""

    __slots__ = ("began", "work")

    def __init__(self, work: Work) -> None:
        self.work = work

    def __enter__(self) -> None:
        self.began = time.monotonic()
        if self.work.in_progress is not None:
            self.work.in_progress.add()

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        work = self.work
        work.times.observe(time.monotonic() - self.began)
        (work.outcomes.get(kind) or nearest(work.outcomes, kind)).add()
        if work.in_progress is not None:
            work.in_progress.add(-1.0)


class HandlerMetrics:
    """What is counted of one handler.

    :ivar run: the context for one run.
    """

    def __init__(self, metrics: Metrics, handler: str) -> None:
        self.answers = {each: metrics.tally("vendorsrv_handler_answers_total", handler, each) for each in SOURCES}
        self.failures = by_error(metrics, "vendorsrv_handler_failures_total", handler, least=500)
        runs = "vendorsrv_handler_runs_total"
        self.run = Work(
            {
                **by_error(metrics, runs, handler),
                None: metrics.tally(runs, handler, "ok"),
                NotYet: metrics.tally(runs, handler, "not_yet"),
            },
            metrics.times("vendorsrv_handler_run_duration_seconds", handler),
            metrics.tally("vendorsrv_handler_runs_in_progress", handler),
        )

    def answered(self, source: str) -> None:
        """Count an answer; the source is one of :data:`SOURCES`."""
        self.answers[source].add()

    def failed(self, error: VendordataError) -> None:
        """Count a request that the handler has no answer for."""
        nearest(self.failures, type(error)).add()


class RequestMetrics:
    """What is counted of HTTP.

    :param paths: all that are told apart.
    """

    def __init__(self, metrics: Metrics, paths: Iterable[str]) -> None:
        self.in_progress = metrics.tally("vendorsrv_requests_in_progress")
        self.paths = {path: answers_of(metrics, path) for path in (*paths, OTHER)}
        self.other = self.paths[OTHER]

    def ended(self, path: str, outcome: int | type[BaseException], seconds: float) -> None:
        """Count a request.

        :param outcome: 200, or the class of what was raised.
        """
        answers, times = self.paths.get(path, self.other)
        nearest(answers, outcome).add()
        times.observe(seconds)


class Metrics:
    """All that a worker counts. Whatever has labels must be known before it is shared."""

    def __init__(self) -> None:
        self.counts = Counts()
        for name, family in FAMILIES.items():
            if not family.labels and family.kind != "histogram":
                self.tally(name)
        self.tally("vendorsrv_workers").add()
        self.tally("vendorsrv_worker_starts_total").add()
        self.tally("vendorsrv_build_info", version("vendorsrv")).add()

    def tally(self, name: str, *labels: str) -> Tally:
        """Give the number of a counter or gauge, with the values of its labels in their order."""
        return Tally(self.counts, (name, *labels))

    def times(self, name: str, *labels: str) -> Times:
        """Give the histogram with these values of its labels."""
        return Times(self.counts, (name, *labels))

    def keystone(self) -> Work:
        """Give what counts the questions about tokens."""
        name = "vendorsrv_keystone_validations_total"
        answers = {None: "valid", Unauthorized: "invalid", BaseException: "unavailable"}
        return Work(
            {kind: self.tally(name, answer) for kind, answer in answers.items()},
            self.times("vendorsrv_keystone_validation_duration_seconds"),
        )

    def upstream(self, handler: str, url: int) -> Work:
        """Give what counts the questions to one of a proxy's URLs, by its place in the configuration from 0 on."""
        labels = (handler, str(url))
        ends = {None: "ok", UpstreamRefused: "refused", HandlerTimeout: "slow", BaseException: "failed"}
        return Work(
            {kind: self.tally("vendorsrv_upstream_requests_total", *labels, end) for kind, end in ends.items()},
            self.times("vendorsrv_upstream_request_duration_seconds", *labels),
        )

    def share(self, directory: str) -> None:
        """Count together with the other workers from now on; alone, if that cannot be done."""
        try:
            self.counts.share(Path(directory))
        except OSError as error:
            LOG.warning("the metrics of this worker are its own alone: %s", error.strerror)


def by_error(metrics: Metrics, name: str, label: str, least: int = 0) -> dict[type[BaseException] | None, Tally]:
    """Give the numbers of each error from a status on; what is no error of ours counts as an internal one."""
    errors = [each for each in all_errors() if each.status >= least]
    return {
        BaseException: metrics.tally(name, label, VendordataError.code),
        **{each: metrics.tally(name, label, each.code) for each in errors},
    }


def answers_of(metrics: Metrics, path: str) -> tuple[dict[Any, Tally], Times]:
    """Give the numbers of each answer that a path can have, and how long they took."""
    name = "vendorsrv_requests_total"
    bad = {error: metrics.tally(name, path, str(error.status), error.code) for error in all_errors()}
    return (
        {200: metrics.tally(name, path, "200", ""), **bad, BaseException: bad[VendordataError]},
        metrics.times("vendorsrv_request_duration_seconds", path),
    )


def nearest(table: Mapping[Any, T], kind: Any) -> T:
    """Find a class, or the nearest one that it is derived from."""
    return table.get(kind) or next(table[each] for each in kind.__mro__ if each in table)
