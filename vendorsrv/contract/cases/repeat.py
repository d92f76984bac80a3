"""The contract's cases of repeated calls: Nova caches nothing, and calls six times for each config drive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from vendorsrv.contract.case import Cases, Judgement, failed, passed, readable
from vendorsrv.contract.session import ContractSession, NotTested
from vendorsrv.contract.wire import Exchange
from vendorsrv.nova.pitfalls import NOTHING

REPEAT: Final = Cases("again")


def value_of(exchange: Exchange) -> str:
    """Return what Nova keeps as a text that does not depend on the order of members."""
    return json.dumps(exchange.value, sort_keys=True)


def values(exchanges: Sequence[Exchange]) -> set[str]:
    return {value_of(exchange) for exchange in exchanges}


def steady(session: ContractSession) -> str:
    """Return the value that Nova keeps each time.

    :raises NotTested: calls in sequence already got different ones, or none.
    """
    found = values([readable(session), *session.sequence])
    if len(found) > 1:
        raise NotTested("calls in sequence already got different answers: see again-same")
    return found.pop()


def one_answer(exchanges: Sequence[Exchange]) -> Judgement:
    found = len(values(exchanges))
    return passed(exchanges[-1]) if found == 1 else failed(exchanges[-1], f"there were {found} different answers")


def answered(exchange: Exchange) -> Exchange:
    if not exchange.answered:
        raise NotTested(f"this body is refused: {exchange}")
    return exchange


@REPEAT.case(
    "same", "must", "Six calls for one instance get the same answer", "Nova's usual body, six times over one connection"
)
def same(session: ContractSession) -> Judgement:
    """Nova caches nothing.

    A config drive has one document for each of six metadata versions: if they differ, an instance may read a
    password or a key that is not the one in use.
    """
    readable(session)
    for exchange in session.sequence:
        if exchange.status is None:
            raise NotTested("some calls got no answer: see time-kept-connection")
        if not exchange.answered:
            return failed(exchange, f"one of six calls got {exchange}")
    return one_answer(session.sequence)


@REPEAT.case(
    "at-once",
    "must",
    "Six calls at once for a new instance get the same answer",
    "Nova's body for a new instance, six times at once",
)
def at_once(session: ContractSession) -> Judgement:
    """Nova's workers and hosts call for one instance within milliseconds of each other.

    If two calls each create a password, the instance may get the wrong one.
    """
    steady(session)
    if not all(exchange.answered for exchange in session.burst):
        raise NotTested("some calls got no answer: see time-at-once")
    return one_answer(session.burst)


@REPEAT.case(
    "member-order",
    "should",
    "The order of the body's members does not matter",
    "Nova's usual body with its members in reverse order, and spaces between them",
)
def member_order(session: ContractSession) -> Judgement:
    """JSON objects are unordered (RFC 8259, 4), and another version of Nova or Python may use another order."""
    before = steady(session)
    body = json.dumps(dict(reversed(session.payload.items())), indent=1).encode()
    exchange = session.ask("Nova's usual body in another order", body, session.token_kind)
    return passed(exchange) if value_of(exchange) == before else failed(exchange, "it got another answer")


@REPEAT.case("other-instance", "info", "Another instance gets a different answer", "Nova's body for a new instance")
def other_instance(session: ContractSession) -> Judgement:
    """Where answers hold a name, an address or a password, the same one for two instances would be a mistake.

    Two empty answers are not compared: a server may have nothing for either instance.
    """
    before = steady(session)
    if "instance-id" in session.subject.payload:
        raise NotTested("only the given instance is used")
    exchange = answered(session.vary("for another instance", {"hostname": "vendorsrv-other"}))
    if value_of(exchange) != before:
        return passed(exchange)
    if exchange.value in NOTHING:
        raise NotTested(f"both instances got {before}: send what gives them data, such as --boot-roles")
    return failed(exchange, "both instances got the same answer")


@REPEAT.case(
    "boot-roles",
    "info",
    "An instance keeps its answer when the boot roles change",
    "Nova's usual body with boot-roles empty",
)
def boot_roles(session: ContractSession) -> Judgement:
    """An instance that became a mail server at its boot should stay one (Nova's vendordata specification for Ocata).

    To test this, give the roles that matter with --boot-roles.
    """
    before = steady(session)
    words = {"instance-id": session.payload["instance-id"], "boot-roles": ""}
    exchange = answered(session.vary("for the same instance with boot-roles empty", words))
    return passed(exchange) if value_of(exchange) == before else failed(exchange, "the answer changed with the roles")


@REPEAT.case("afterwards", "must", "After all other cases the server answers as before", "Nova's usual body once more")
def afterwards(session: ContractSession) -> Judgement:
    """A body that kills a worker, or corrupts what is stored, breaks the boots of all other instances."""
    readable(session)
    exchange = session.ask("Nova's usual body, after everything else", session.usual.request.body, session.token_kind)
    if not exchange.answered:
        return failed(exchange, f"it got {exchange}")
    return passed(exchange) if value_of(exchange) == steady(session) else failed(exchange, "it got another answer")
