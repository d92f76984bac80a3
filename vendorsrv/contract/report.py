"""A run of the contract in sentences and as JSON; neither contains a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vendorsrv.contract.case import GROUPS
from vendorsrv.contract.suite import Report, Verdict
from vendorsrv.contract.wire import Exchange
from vendorsrv.nova.client import Result
from vendorsrv.nova.credentials import one_line
from vendorsrv.nova.outcomes import MODES, outcome
from vendorsrv.nova.pitfalls import Hop, redirect_pitfalls

#: The number of member names that are shown.
MAX_NAMES: Final = 6


def explain(verdict: Verdict) -> Iterator[str]:
    """Yield the lines that explain a verdict; the first one states it."""
    case, exchange = verdict.case, verdict.exchange
    yield f"{case.id} ({case.severity}): {case.title}: {verdict.outcome}{verdict.found and f': {verdict.found}'}."
    if exchange is not None:
        yield f"  sent:      {exchange.request.description}"
        yield f"  received:  {exchange}{(error := error_of(exchange)) and f': {error}'}"
        yield f"  Nova:      {effect(exchange)}"
    yield f"  why:       {case.reason}"


def summary(report: Report) -> str:
    outcomes = [verdict.outcome for verdict in report.verdicts]
    severities = [verdict.case.severity for verdict in report.failures()]
    which = ", ".join(f"{severities.count(each)} {each}" for each in ("must", "should", "info"))
    return (
        f"{one_line(report.target)}: {len(outcomes)} cases: {outcomes.count('passed')} passed, "
        f"{outcomes.count('failed')} failed ({which}), {outcomes.count('not tested')} not tested; "
        f"{report.requests} requests in {report.seconds:.1f} s"
    )


def as_json(report: Report, *, strict: bool = False) -> dict[str, Any]:
    """Return the whole report for ``--json``."""
    return {
        "url": one_line(report.target),
        "name": report.name,
        "passes": report.passes(strict=strict),
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
        "cases": [verdict_as_json(verdict) for verdict in report.verdicts],
    }


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    case, exchange = verdict.case, verdict.exchange
    return {
        "id": case.id,
        "group": GROUPS[case.group],
        "severity": case.severity,
        "title": case.title,
        "outcome": verdict.outcome,
        "found": verdict.found,
        "sent": exchange and exchange.request.description,
        "received": exchange and received(exchange),
        "nova": exchange and effect(exchange),
        "reason": case.reason,
    }


def received(exchange: Exchange) -> dict[str, Any]:
    content_type = exchange.headers.get("Content-Type")
    return {
        "status": exchange.status,
        "content_type": content_type and exchange.shown(content_type),
        "bytes": len(exchange.body),
        "seconds": round(exchange.elapsed, 3),
        "error": error_of(exchange),
    }


def error_of(exchange: Exchange) -> str:
    """Return the message that Nova finds in an error, without the token; empty for other answers."""
    result = exchange.nova
    if result is None or exchange.status is None or exchange.status < 400:
        return ""
    return exchange.shown(result.error or "")


def effect(exchange: Exchange) -> str:
    """Describe what Nova makes of an answer, without its content."""
    if exchange.cut:
        return "reads on: it has no limit of size, and its time limit is for each read"
    if exchange.nova is None:
        hop = Hop(exchange.request.url, exchange.status or 0, exchange.headers["Location"])
        return "; ".join(redirect_pitfalls([hop], with_token=exchange.request.token is not None)).removeprefix("Nova ")
    if exchange.nova.dropped is not None:
        return dropped(exchange.nova)
    return exchange.shown(f"keeps {shape(exchange.nova.value)}")


def dropped(result: Result) -> str:
    if result.always_raises:
        return f"raises {result.raises}, even with vendordata_dynamic_failure_fatal off: {result.dropped}"
    fatal = outcome(MODES[0], "config drive", fatal=True)
    return (
        f"uses {{}} instead: {result.dropped}; with vendordata_dynamic_failure_fatal it raises {result.raises}, "
        f"and an instance with a config drive is {fatal.state}"
    )


def shape(value: Any) -> str:
    """Describe a value by its type, its size, and the names of its members."""
    if isinstance(value, dict):
        names = list(value)
        shown = ", ".join([*names[:MAX_NAMES], *(["…"] if len(names) > MAX_NAMES else [])])
        return f"an object of {len(names)} members{shown and f': {shown}'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    return "null" if value is None else "true or false" if isinstance(value, bool) else "a number"
