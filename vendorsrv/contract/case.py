"""The contract's cases, and the decorator that declares one on the function that judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from vendorsrv.contract.session import ContractSession, NotTested
from vendorsrv.contract.wire import Exchange

Severity = Literal["must", "should", "info"]
Group = Literal["caller", "body", "answer", "time", "again", "cloud-init"]

#: The title of each group, in the order of a run.
GROUPS: Final[dict[Group, str]] = {
    "caller": "who may call",
    "body": "what Nova sends",
    "answer": "what Nova can read",
    "time": "time",
    "again": "repeated calls",
    "cloud-init": "cloud-init safety",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of a case on a server.

    :ivar found: the fault or a remark; may be empty.
    :ivar exchange: the request that decided the case, or the last one.
    """

    passed: bool
    found: str
    exchange: Exchange


#: Judges a server by its answers; raises NotTested when it cannot.
Judge = Callable[[ContractSession], Judgement]


@dataclass(frozen=True, slots=True)
class Case:
    """One requirement of a vendordata server.

    :ivar id: stable; begins with the group.
    :ivar title: what a good server does.
    :ivar sends: the requests that test it.
    :ivar reason: why it matters, with the source.
    """

    id: str
    group: Group
    severity: Severity
    title: str
    sends: str
    reason: str
    judge: Judge = field(repr=False)


class Cases(list[Case]):
    """The cases of one group."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group: Group = group

    def case(
        self, name: str, severity: Severity, title: str, sends: str = "Nova's usual body"
    ) -> Callable[[Judge], Judge]:
        """Declare a case, whose id is the group's name and its own, and whose reason is the function's docstring."""

        def declare(judge: Judge) -> Judge:
            reason = " ".join((judge.__doc__ or "").split())
            self.append(Case(f"{self.group}-{name}", self.group, severity, title, sends, reason, judge))
            return judge

        return declare


def passed(exchange: Exchange, found: str = "") -> Judgement:
    return Judgement(True, found, exchange)


def failed(exchange: Exchange, found: str) -> Judgement:
    return Judgement(False, found, exchange)


def readable(session: ContractSession) -> Exchange:
    """Return the answer to Nova's usual body, if Nova can read it.

    :raises NotTested: there is no good answer, it is empty, or Nova cannot read it.
    """
    exchange = session.good
    if not exchange.text:
        raise NotTested("the answer is empty: see answer-empty")
    if exchange.nova is None or exchange.nova.dropped:
        raise NotTested("Nova cannot read the answer: see answer-json")
    return exchange
