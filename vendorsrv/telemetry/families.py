"""The names, helps and labels of all metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Family(NamedTuple):
    """One metric: its kind, its help and the names of its labels."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: Final[Mapping[str, Family]] = {
    "vendorsrv_requests_total": Family(
        "counter", "HTTP requests by path, status and error code.", ("path", "status", "code")
    ),
    "vendorsrv_request_duration_seconds": Family(
        "histogram", "Time from the request's headers to the end of the response, by path.", ("path",)
    ),
    "vendorsrv_requests_in_progress": Family("gauge", "HTTP requests in progress."),
    "vendorsrv_handler_answers_total": Family(
        "counter", "Answers by handler and by source: a run, the cache, a pin or the fallback.", ("handler", "source")
    ),
    "vendorsrv_handler_failures_total": Family(
        "counter", "Requests without an answer of the handler, before the fallback is applied.", ("handler", "code")
    ),
    "vendorsrv_handler_runs_total": Family("counter", "Handler runs by outcome.", ("handler", "outcome")),
    "vendorsrv_handler_run_duration_seconds": Family("histogram", "Duration of handler runs.", ("handler",)),
    "vendorsrv_handler_runs_in_progress": Family("gauge", "Handler runs in progress.", ("handler",)),
    "vendorsrv_token_cache_hits_total": Family("counter", "Requests whose token was found in the token cache."),
    "vendorsrv_token_validations_total": Family("counter", "Token validations by Keystone, by outcome.", ("outcome",)),
    "vendorsrv_token_validation_duration_seconds": Family("histogram", "Duration of token validations by Keystone."),
    "vendorsrv_tokens_not_validated_total": Family("counter", "Tokens refused because too many wait for validation."),
    "vendorsrv_upstream_requests_total": Family(
        "counter", "Requests of a proxy to its upstream URLs, by outcome.", ("handler", "url", "outcome")
    ),
    "vendorsrv_upstream_request_duration_seconds": Family(
        "histogram", "Duration of a proxy's upstream requests.", ("handler", "url")
    ),
    "vendorsrv_client_requests_total": Family(
        "counter", "Requests of a handler's self.http, by outcome.", ("handler", "outcome")
    ),
    "vendorsrv_client_request_duration_seconds": Family(
        "histogram", "Duration of the requests of a handler's self.http.", ("handler",)
    ),
    "vendorsrv_fact_lookups_total": Family(
        "counter", "Look-ups of facts at Nova, Glance and Keystone, by outcome.", ("fact", "outcome")
    ),
    "vendorsrv_fact_lookup_duration_seconds": Family("histogram", "Duration of the look-ups of facts.", ("fact",)),
    "vendorsrv_instances_refused_total": Family("counter", "Runs refused by verify: no such instance, or deleted."),
    "vendorsrv_pin_waits_total": Family("counter", "Requests that waited for another worker to create the pin."),
    "vendorsrv_pins_purged_total": Family(
        "counter", "Pins deleted because they were older than purge_after, or had expired."
    ),
    "vendorsrv_deletions_total": Family(
        "counter", "Calls of handlers' deleted for instances that are gone, by outcome.", ("handler", "outcome")
    ),
    "vendorsrv_notifications_total": Family(
        "counter", "Nova's notifications that the listener read, by transport and outcome.", ("transport", "outcome")
    ),
    "vendorsrv_notifications_lag_seconds": Family(
        "gauge", "How old the last notification was when the listener read it.", ("transport",)
    ),
    "vendorsrv_deletions_forgotten_total": Family(
        "counter", "Instances that are not known to be gone any more, after remember_for."
    ),
    "vendorsrv_cache_failures_total": Family(
        "counter", "Failures of the shared cache, each of which bypasses it for 5 seconds."
    ),
    "vendorsrv_cache_rejected_total": Family(
        "counter", "Values of the shared cache that were not used: foreign, damaged or forged."
    ),
    "vendorsrv_connections_refused_total": Family(
        "counter", "Connections closed because their peer, or the worker, has too many.", ("limit",)
    ),
    "vendorsrv_event_loop_blocked_total": Family(
        "counter", "Times that the event loop of a worker was blocked for more than a second."
    ),
    "vendorsrv_workers": Family("gauge", "Running workers."),
    "vendorsrv_worker_starts_total": Family("counter", "Workers started since the server started."),
    "vendorsrv_build_info": Family("gauge", "1 for each version of vendorsrv that runs.", ("version",)),
}
