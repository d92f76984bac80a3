"""Hold any vendordata server to what Nova and cloud-init need of it: all cases, and what each one found."""

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
from vendorsrv.contract.cases.repeat import AGAIN
from vendorsrv.contract.cases.time import TIME
from vendorsrv.contract.session import BUDGET, Credentials, NotTested, Subject, Talk
from vendorsrv.contract.wire import Exchange
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import NOVA_DEFAULTS, Limits
from vendorsrv.suggest import did_you_mean

__all__ = ["CASES", "Case", "Outcome", "Report", "Subject", "Verdict", "check", "judge", "select"]

Outcome = Literal["passed", "failed", "not tested"]
#: Every case, in the order in which they are tried.
CASES: Final[tuple[Case, ...]] = (*CALLER, *BODY, *ANSWER, *TIME, *AGAIN, *CLOUD_INIT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one case found.

    :ivar found: in words: the fault, a remark, or why it was not tested.
    :ivar exchange: the request that decided it; None when it was not tested.
    :ivar seconds: for all of its requests that were not made before.
    """

    case: Case
    outcome: Outcome
    found: str
    exchange: Exchange | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What all cases found.

    :ivar requests: how many were sent.
    :ivar seconds: for everything.
    """

    target: str
    name: str
    verdicts: tuple[Verdict, ...]
    requests: int
    seconds: float

    def failures(self, *severities: Severity) -> tuple[Verdict, ...]:
        """Give the verdicts of failed cases, of all severities or of some."""
        wanted = severities or ("must", "should", "info")
        return tuple(each for each in self.verdicts if each.outcome == "failed" and each.case.severity in wanted)

    def passes(self, *, strict: bool = False) -> bool:
        """Say whether no must has failed; when strict, no should either."""
        return not self.failures("must", *(("should",) if strict else ()))


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
    """Hold a server to the contract, by some forty requests at most, of which no more than six come at once.

    :param target: ``URL`` or ``NAME@URL``; the cases of cloud-init's safety are for the name ``cloud-init``.
    :param caller: whose token Nova sends: a keystoneauth1 session (:mod:`vendorsrv.nova.credentials`) or a token.
        Without, a server that asks for one is held to little more than that it does.
    :param tenant: a session or token that is valid, and has no business here.
    :param payload: members of Nova's body, see :class:`Subject`.
    :param budget: seconds after which no further request is made.
    :param only: the ids of cases, or names of groups, that are wanted; all by default.
    :param skip: those that are not.
    :raises ConfigError: there is no such case or target, Keystone gives no token, or the server cannot be reached.
    """
    started = time.monotonic()
    wanted = select(only, skip)
    talk = Talk(Subject(target, name, caller, tenant, limits, payload or {}, budget))
    verdicts = tuple(judge(case, talk) for case in wanted)
    return Report(talk.target.url, talk.target.name, verdicts, talk.requests, time.monotonic() - started)


def judge(case: Case, talk: Talk) -> Verdict:
    """Try one case."""
    started = time.monotonic()
    try:
        judgement = case.judge(talk)
    except NotTested as reason:
        return Verdict(case, "not tested", str(reason), None, time.monotonic() - started)
    except RecursionError:  # at the level or two that Nova can still read
        return Verdict(case, "not tested", "its JSON is nested too deep: see answer-strict", None, 0.0)
    outcome: Outcome = "passed" if judgement.passed else "failed"
    return Verdict(case, outcome, judgement.found, judgement.exchange, time.monotonic() - started)


def select(only: Collection[str] = (), skip: Collection[str] = ()) -> list[Case]:
    """Give the cases that are wanted, by their ids and groups.

    :raises ConfigError: an id is none, and which one may be meant; or no case is left.
    """
    known = {*GROUPS, *(case.id for case in CASES)}
    for name in [*only, *skip]:
        if name not in known:
            raise ConfigError(f"there is no case {name}{did_you_mean(name, known)}")
    wanted = [case for case in CASES if (not only or named(case, only)) and not named(case, skip)]
    if not wanted:
        raise ConfigError("no case is left: --skip has all that is wanted")
    return wanted


def named(case: Case, names: Iterable[str]) -> bool:
    return any(name in (case.id, case.group) for name in names)
