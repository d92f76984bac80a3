"""The contract's cases of who may call: Nova with its token, and nobody else."""

from __future__ import annotations

from typing import Final

from vendorsrv.contract.case import Cases, Judgement, failed, passed
from vendorsrv.contract.session import CUT, KINDS, Kind, NotTested, Talk
from vendorsrv.contract.wire import Exchange

CALLER: Final = Cases("caller")
NO_TOKENS: Final[tuple[Kind, ...]] = ("none", "empty", "garbage", "spaced")


def answer_to(talk: Talk, kind: Kind) -> Exchange:
    exchange = talk.ask_with(kind)
    if exchange.status is None:
        raise NotTested(f"with {KINDS[kind]} there is {exchange}")
    return exchange


def let_in(exchange: Exchange) -> bool:
    return exchange.status is not None and exchange.status // 100 == 2


def kept_out(talk: Talk, kind: Kind) -> Judgement:
    exchange = answer_to(talk, kind)
    return failed(exchange, f"{KINDS[kind]} is let in") if let_in(exchange) else passed(exchange)


@CALLER.case(
    "no-token",
    "must",
    "A request without a token is refused",
    "Nova's usual body without X-Auth-Token",
    "Whoever reaches the port could ask for the data of any instance. Nova always sends a token when "
    "[vendordata_dynamic_auth] is set.",
)
def no_token(talk: Talk) -> Judgement:
    return kept_out(talk, "none")


@CALLER.case(
    "empty-token",
    "must",
    "An empty token is refused",
    "Nova's usual body with an empty X-Auth-Token",
    "A check that only looks whether the header is there lets it in.",
)
def empty_token(talk: Talk) -> Judgement:
    return kept_out(talk, "empty")


@CALLER.case(
    "garbage-token",
    "must",
    "A token that Keystone never issued is refused",
    "Nova's usual body with a made-up token that looks like Keystone's",
    "Only Keystone knows which tokens are valid; a server that does not ask it lets everybody in.",
)
def garbage_token(talk: Talk) -> Judgement:
    return kept_out(talk, "garbage")


@CALLER.case(
    "tenant-token",
    "must",
    "A tenant's valid token is refused",
    "Nova's usual body with a valid token of a tenant's user",
    "Every user of the cloud can get a valid token. keystonemiddleware alone admits them all; the server itself has to "
    "look for Nova's account, by its role and project.",
)
def tenant_token(talk: Talk) -> Judgement:
    return kept_out(talk, "tenant")


@CALLER.case(
    "valid-token",
    "must",
    "Nova's token is let in",
    "Nova's usual body with a valid token",
    "After a 401 Nova gets a new token from Keystone, asks once more, and then gives the instance {} (keystoneauth1, "
    "Session.request).",
)
def valid_token(talk: Talk) -> Judgement:
    exchange = answer_to(talk, "valid")
    if exchange.status in {401, 403}:
        return failed(exchange, f"status {exchange.status}")
    return passed(exchange)


@CALLER.case(
    "leaks-no-token",
    "must",
    "No response holds the token that was sent",
    "Nova's usual body, and one that is cut short, with a valid token",
    "An answer ends in the instance, and with vendordata_dynamic_failure_fatal the text of an error ends in what the "
    "tenant sees. Nova's token there is Nova's account there.",
)
def leaks_no_token(talk: Talk) -> Judgement:
    answered = [talk.ask_with("valid"), talk.ask("a body that is cut short", CUT, "valid")]
    for exchange in answered:
        token = exchange.question.token or ""
        if token.encode() in exchange.body or any(token in value for value in exchange.headers.values()):
            return failed(exchange, "the token is in it")
    return passed(answered[-1])


@CALLER.case(
    "refusal-401",
    "should",
    "What is no valid token is answered with 401",
    "Nova's usual body with no token, an empty one, a made-up one, and one with a space in it",
    "401 says that the token is the matter. A 403 or 503 in its place sends whoever reads Nova's log the wrong way, "
    "and a 5xx rings an alarm for every stranger.",
)
def refusal_401(talk: Talk) -> Judgement:
    refused = [(kind, exchange) for kind in NO_TOKENS if not let_in(exchange := answer_to(talk, kind))]
    if not refused:
        raise NotTested("everybody is let in")
    for kind, exchange in refused:
        if exchange.status != 401:
            return failed(exchange, f"{KINDS[kind]} is answered with {exchange.status}")
    return passed(refused[-1][1])


@CALLER.case(
    "challenge",
    "should",
    "A 401 says where tokens are from",
    "Nova's usual body without X-Auth-Token",
    "A 401 must have WWW-Authenticate (RFC 9110, 15.5.2); OpenStack's clients read Keystone's address from it.",
)
def challenge(talk: Talk) -> Judgement:
    exchange = answer_to(talk, "none")
    if exchange.status != 401:
        raise NotTested("a request without a token is not answered with 401")
    if "WWW-Authenticate" not in exchange.headers:
        return failed(exchange, "there is no WWW-Authenticate")
    return passed(exchange)


@CALLER.case(
    "before-body",
    "should",
    "The token is checked before the body",
    "a body that is cut short, without X-Auth-Token",
    "A stranger shall cost no parsing, and learn nothing of what a good body is like.",
)
def before_body(talk: Talk) -> Judgement:
    usual, broken = answer_to(talk, "none"), talk.ask("a body that is cut short", CUT, "none")
    if let_in(usual):
        raise NotTested("a request without a token is let in")
    if usual.status != broken.status:
        return failed(broken, f"a good body gets {usual.status} without a token, and a broken one {broken.status}")
    return passed(broken)
