"""What the contract's cases found, for people and for programs; nothing in it is secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vendorsrv.contract.case import GROUPS
from vendorsrv.contract.suite import Report, Verdict
from vendorsrv.contract.wire import Exchange
from vendorsrv.nova.client import Result
from vendorsrv.nova.credentials import one_line
from vendorsrv.nova.outcomes import MODES, outcome
from vendorsrv.nova.pitfalls import Exchange as Hop
from vendorsrv.nova.pitfalls import redirect_pitfalls

#: Names of members that are shown.
NAMES: Final = 6


def explain(verdict: Verdict) -> Iterator[str]:
    """Give the lines that explain a verdict; the first one says what it is."""
    case, exchange = verdict.case, verdict.exchange
    yield f"{case.id} ({case.severity}): {case.title}: {verdict.outcome}{verdict.found and f': {verdict.found}'}."
    if exchange is not None:
        yield f"  sent:  {exchange.question.words}"
        yield f"  came:  {exchange}{(error := error_of(exchange)) and f': {error}'}"
        yield f"  Nova:  {made_of(exchange)}"
    yield f"  why:   {case.reason}"


def summary(report: Report) -> str:
    """Give the numbers in a sentence."""
    outcomes = [verdict.outcome for verdict in report.verdicts]
    severities = [verdict.case.severity for verdict in report.failures()]
    which = ", ".join(f"{severities.count(each)} {each}" for each in ("must", "should", "info"))
    return (
        f"{one_line(report.target)}: {len(outcomes)} cases: {outcomes.count('passed')} passed, "
        f"{outcomes.count('failed')} failed ({which}), {outcomes.count('not tested')} not tested; "
        f"{report.requests} requests in {report.seconds:.1f} s"
    )


def as_json(report: Report, *, strict: bool = False) -> dict[str, Any]:
    """Give everything for ``--json``.

    :param strict: see :meth:`Report.passes`.
    """
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
        "sent": exchange and exchange.question.words,
        "came": exchange and came(exchange),
        "nova": exchange and made_of(exchange),
        "reason": case.reason,
    }


def came(exchange: Exchange) -> dict[str, Any]:
    content_type = exchange.headers.get("Content-Type")
    return {
        "status": exchange.status,
        "content_type": content_type and exchange.shown(content_type),
        "bytes": len(exchange.body),
        "seconds": round(exchange.elapsed, 3),
        "error": error_of(exchange),
    }


def error_of(exchange: Exchange) -> str:
    """Give what an error says to Nova, without the token if it has it; nothing for what is no error."""
    result = exchange.nova
    if result is None or exchange.status is None or exchange.status < 400:
        return ""
    return exchange.shown(result.error or "")


def made_of(exchange: Exchange) -> str:
    """Say what Nova makes of an answer, without what is in it."""
    if exchange.cut:
        return "goes on reading, since it has no limit of size, and of time only for each read"
    if exchange.nova is None:
        hop = Hop(exchange.question.url, exchange.status or 0, exchange.headers["Location"])
        return "; ".join(redirect_pitfalls([hop], with_token=exchange.question.token is not None)).removeprefix("Nova ")
    if exchange.nova.dropped is not None:
        return dropped(exchange.nova)
    return exchange.shown(f"keeps {shape(exchange.nova.value)}")


def dropped(result: Result) -> str:
    if result.always_raises:
        return f"raises {result.raises}, whatever vendordata_dynamic_failure_fatal says: {result.dropped}"
    fatal = outcome(MODES[0], "config drive", fatal=True)
    return (
        f"puts {{}} in its place: {result.dropped}; with vendordata_dynamic_failure_fatal it raises {result.raises}, "
        f"and an instance with a config drive is {fatal.state}"
    )


def shape(value: Any) -> str:
    """Describe a value by its type, its size, and the names of its members."""
    if isinstance(value, dict):
        names = list(value)
        shown = ", ".join([*names[:NAMES], *(["…"] if len(names) > NAMES else [])])
        return f"an object of {len(names)} members{shown and f': {shown}'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    return "null" if value is None else "true or false" if isinstance(value, bool) else "a number"
