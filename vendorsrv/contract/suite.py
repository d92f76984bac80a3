"""Check any vendordata server against the contract: run the cases, and report what each one found."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from vendorsrv.contract.case import GROUPS, Case, Severity
from vendorsrv.contract.cases.answer import ANSWER
from vendorsrv.contract.cases.body import BODY
from vendorsrv.contract.cases.caller import CALLER
from vendorsrv.contract.cases.cloudinit import CLOUD_INIT
from vendorsrv.contract.cases.repeat import REPEAT
from vendorsrv.contract.cases.time import TIME
from vendorsrv.contract.session import BUDGET, ContractSession, Credentials, NotTested, Subject
from vendorsrv.contract.wire import Exchange
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import NOVA_DEFAULTS, Limits
from vendorsrv.suggest import did_you_mean

Outcome = Literal["passed", "failed", "not tested"]
#: Every case, in the order of a run.
CASES: Final[tuple[Case, ...]] = (*CALLER, *BODY, *ANSWER, *TIME, *REPEAT, *CLOUD_INIT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one case.

    :ivar found: the fault, a remark, or why the case was not tested.
    :ivar exchange: the request that decided the case; None when it was not tested.
    :ivar seconds: for the requests that this case was the first to send.
    """

    case: Case
    outcome: Outcome
    found: str
    exchange: Exchange | None
    seconds: float

    def counts(self, *, strict: bool) -> bool:
        """Whether the server fails by this case: a ``must`` failed, or when strict a ``should``."""
        return self.outcome == "failed" and (
            self.case.severity == "must" or (strict and self.case.severity == "should")
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The outcomes of a run.

    :ivar requests: the number of requests sent.
    :ivar seconds: for the whole run.
    """

    target: str
    name: str
    verdicts: tuple[Verdict, ...]
    requests: int
    seconds: float

    def failures(self, *severities: Severity) -> tuple[Verdict, ...]:
        """Return the verdicts of failed cases, of all severities or only some."""
        wanted = severities or ("must", "should", "info")
        return tuple(each for each in self.verdicts if each.outcome == "failed" and each.case.severity in wanted)

    def passes(self, *, strict: bool = False) -> bool:
        """Whether no ``must`` failed; when strict, no ``should`` either."""
        return not any(verdict.counts(strict=strict) for verdict in self.verdicts)


def check(
    target: str,
    *,
    name: str | None = None,
    caller: Credentials = None,
    tenant: Credentials = None,
    limits: Limits = NOVA_DEFAULTS,
    payload: Mapping[str, Any] | None = None,
    budget: float = BUDGET,
    only: Collection[str] = (),
    skip: Collection[str] = (),
) -> Report:
    """Check a server against the contract, with about forty requests, at most six of them at once.

    :param target: ``URL`` or ``NAME@URL``; the cases of cloud-init safety are for the name ``cloud-init``.
    :param caller: a keystoneauth1 session (:mod:`vendorsrv.nova.credentials`) or a token. Without one, little can be
        tested of a server that requires a token. It and all others: see :class:`Subject`.
    :param only: ids of cases, or names of groups, to run; all by default.
    :param skip: ids of cases, or names of groups, not to run.
    :raises ConfigError: there is no such case, the target is invalid, Keystone gives no token, or the server cannot be
        reached.
    """
    started = time.monotonic()
    wanted = select(only, skip)
    session = ContractSession(Subject(target, name, caller, tenant, limits, payload or {}, budget))
    verdicts = tuple(judge(case, session) for case in wanted)
    return Report(session.target.url, session.target.name, verdicts, session.requests, time.monotonic() - started)


def judge(case: Case, session: ContractSession) -> Verdict:
    """Run one case."""
    started = time.monotonic()
    try:
        judgement = case.judge(session)
    except NotTested as reason:
        return Verdict(case, "not tested", str(reason), None, time.monotonic() - started)
    except RecursionError:  # one or two levels below the limit of Nova's parser
        return Verdict(case, "not tested", "its JSON is nested too deep: see answer-strict", None, 0.0)
    outcome: Outcome = "passed" if judgement.passed else "failed"
    return Verdict(case, outcome, judgement.found, judgement.exchange, time.monotonic() - started)


def select(only: Collection[str] = (), skip: Collection[str] = ()) -> list[Case]:
    """Return the cases to run, by their ids and groups.

    :raises ConfigError: there is no such id, or no case is left.
    """
    known = {*GROUPS, *(case.id for case in CASES)}
    for name in [*only, *skip]:
        if name not in known:
            raise ConfigError(f"there is no case {name}{did_you_mean(name, known)}")
    wanted = [case for case in CASES if (not only or named(case, only)) and not named(case, skip)]
    if not wanted:
        raise ConfigError("no case is left: --skip excludes all of them")
    return wanted


def named(case: Case, names: Iterable[str]) -> bool:
    return any(name in (case.id, case.group) for name in names)
