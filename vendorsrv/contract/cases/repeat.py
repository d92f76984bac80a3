"""The contract's cases of asking again: Nova keeps no answer, and asks six times for each config drive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from vendorsrv.contract.case import Cases, Judgement, failed, passed, readable
from vendorsrv.contract.session import NotTested, Talk
from vendorsrv.contract.wire import Exchange
from vendorsrv.nova.pitfalls import NOTHING

AGAIN: Final = Cases("again")


def value_of(exchange: Exchange) -> str:
    """Give what Nova keeps as one text, whatever the order of members."""
    return json.dumps(exchange.value, sort_keys=True)


def values(exchanges: Sequence[Exchange]) -> set[str]:
    return {value_of(exchange) for exchange in exchanges}


def steady(talk: Talk) -> str:
    """Give the value that Nova keeps each time.

    :raises NotTested: there are different ones already one after the other, or none.
    """
    found = values([readable(talk), *talk.row])
    if len(found) > 1:
        raise NotTested("the answers differ already one after the other: see again-same")
    return found.pop()


def answered(exchange: Exchange) -> Exchange:
    if not exchange.answered:
        raise NotTested(f"it is refused: {exchange}")
    return exchange


@AGAIN.case(
    "same",
    "must",
    "Six calls for one instance get one answer",
    "Nova's usual body, six times over one connection",
    "Nova keeps no answer. A config drive has one document for each of six metadata versions, and an instance whose "
    "documents differ finds a password, or a key, that is not the one that counts.",
)
def same(talk: Talk) -> Judgement:
    readable(talk)
    for exchange in talk.row:
        if exchange.status is None:
            raise NotTested("not all were answered: see time-kept-connection")
        if not exchange.answered:
            return failed(exchange, f"one of six got {exchange}")
    found = len(values(talk.row))
    return passed(talk.row[-1]) if found == 1 else failed(talk.row[-1], f"there were {found} different answers")


@AGAIN.case(
    "at-once",
    "must",
    "Six calls at once for a new instance get one answer",
    "Nova's body for a new instance, six times at once",
    "Calls for one instance come within milliseconds of each other, from Nova's workers and hosts. Two runs that each "
    "make a password leave the instance with the wrong one.",
)
def at_once(talk: Talk) -> Judgement:
    steady(talk)
    if not all(exchange.answered for exchange in talk.burst):
        raise NotTested("not all were answered: see time-at-once")
    found = len(values(talk.burst))
    return passed(talk.burst[-1]) if found == 1 else failed(talk.burst[-1], f"there were {found} different answers")


@AGAIN.case(
    "member-order",
    "should",
    "The order of the body's members does not matter",
    "Nova's usual body with its members in reverse, and spaces between them",
    "JSON objects have no order (RFC 8259, 4), and another version of Nova or Python may have another.",
)
def member_order(talk: Talk) -> Judgement:
    before = steady(talk)
    body = json.dumps(dict(reversed(talk.payload.items())), indent=1).encode()
    exchange = talk.ask("Nova's usual body in another order", body, talk.kind)
    return passed(exchange) if value_of(exchange) == before else failed(exchange, "it gets another answer")


@AGAIN.case(
    "other-instance",
    "info",
    "Another instance gets an answer of its own",
    "Nova's body for an instance that was not asked for before",
    "Where answers hold a name, an address or a password, the same one for two instances would be a mistake. Two empty "
    "answers are not compared: a server may have nothing for either instance.",
)
def other_instance(talk: Talk) -> Judgement:
    before = steady(talk)
    if "instance-id" in talk.subject.payload:
        raise NotTested("only the instance that was given is asked for")
    exchange = answered(talk.vary("for another instance", {"hostname": "vendorsrv-other"}))
    if value_of(exchange) != before:
        return passed(exchange)
    if exchange.value in NOTHING:
        raise NotTested(f"both instances got {before}: send what gives them data, such as --boot-roles")
    return failed(exchange, "both instances got the same answer")


@AGAIN.case(
    "boot-roles",
    "info",
    "An instance keeps its answer when the boot roles change",
    "Nova's usual body with boot-roles empty",
    "An instance that was made a mail server at its boot shall stay one (Nova's vendordata specification of Ocata). To "
    "see it, give the roles that matter with --boot-roles.",
)
def boot_roles(talk: Talk) -> Judgement:
    before = steady(talk)
    words = {"instance-id": talk.payload["instance-id"], "boot-roles": ""}
    exchange = answered(talk.vary("for the same instance with boot-roles empty", words))
    return passed(exchange) if value_of(exchange) == before else failed(exchange, "the answer follows the roles")


@AGAIN.case(
    "afterwards",
    "must",
    "After all of this the server answers as before",
    "Nova's usual body once more",
    "A body that ends a worker, or spoils what is kept, ends the boots of everybody else.",
)
def afterwards(talk: Talk) -> Judgement:
    readable(talk)
    exchange = talk.ask("Nova's usual body, after everything else", talk.usual.question.body, talk.kind)
    if not exchange.answered:
        return failed(exchange, f"there is {exchange}")
    return passed(exchange) if value_of(exchange) == steady(talk) else failed(exchange, "it gets another answer")
