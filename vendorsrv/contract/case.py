"""What a case of the contract is, and how it is declared on the function that judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from vendorsrv.contract.session import NotTested, Talk
from vendorsrv.contract.wire import Exchange

Severity = Literal["must", "should", "info"]
Group = Literal["caller", "body", "answer", "time", "again", "cloud-init"]

#: What each group is about, in the order in which they are tried.
GROUPS: Final[dict[Group, str]] = {
    "caller": "who may call",
    "body": "what Nova sends",
    "answer": "what Nova can read",
    "time": "time",
    "again": "asking again",
    "cloud-init": "cloud-init safety",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a case found.

    :ivar found: in words; empty when there is nothing to say.
    :ivar exchange: the request that decided it, or the last one.
    """

    passed: bool
    found: str
    exchange: Exchange


#: Decides a case in a talk; raises NotTested when it cannot.
Judge = Callable[[Talk], Judgement]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a vendordata server has to do.

    :ivar id: stable, and begins with the group.
    :ivar title: what a good server does.
    :ivar sends: what is sent to find out.
    :ivar reason: why it matters, and who says so.
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

    def case(self, name: str, severity: Severity, title: str, sends: str, reason: str) -> Callable[[Judge], Judge]:
        """Declare a case; its id is the group's name and its own."""

        def declare(judge: Judge) -> Judge:
            self.append(Case(f"{self.group}-{name}", self.group, severity, title, sends, reason, judge))
            return judge

        return declare


def passed(exchange: Exchange, found: str = "") -> Judgement:
    """Judge that the server does well."""
    return Judgement(True, found, exchange)


def failed(exchange: Exchange, found: str) -> Judgement:
    """Judge that the server has the fault; what was found is the end of "it fails: …"."""
    return Judgement(False, found, exchange)


def readable(talk: Talk) -> Exchange:
    """Give the good answer, when Nova can read something of it.

    :raises NotTested: there is none, it is empty, or Nova cannot read it.
    """
    exchange = talk.good
    if not exchange.text:
        raise NotTested("the answer is empty: see answer-empty")
    if exchange.nova is None or exchange.nova.dropped:
        raise NotTested("Nova cannot read the answer: see answer-json")
    return exchange
