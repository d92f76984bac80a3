"""The contract's cases of authentication: Nova may call with its token, and nobody else."""

from __future__ import annotations

from typing import Final

from vendorsrv.contract.case import Cases, Judgement, failed, passed
from vendorsrv.contract.session import CUT, TOKENS, ContractSession, NotTested, TokenKind
from vendorsrv.contract.wire import Exchange

CALLER: Final = Cases("caller")
NO_TOKENS: Final[tuple[TokenKind, ...]] = ("none", "empty", "garbage", "spaced")


def answer_to(session: ContractSession, kind: TokenKind) -> Exchange:
    exchange = session.ask_with(kind)
    if exchange.status is None:
        raise NotTested(f"with {TOKENS[kind]} the call got {exchange}")
    return exchange


def refused_with(session: ContractSession, kind: TokenKind) -> Judgement:
    exchange = answer_to(session, kind)
    return failed(exchange, f"{TOKENS[kind]} is accepted") if exchange.accepted else passed(exchange)


@CALLER.case("no-token", "must", "A request without a token is refused", "Nova's usual body without X-Auth-Token")
def no_token(session: ContractSession) -> Judgement:
    """Otherwise anybody who reaches the port can get the data of any instance.

    Nova always sends a token when [vendordata_dynamic_auth] is set.
    """
    return refused_with(session, "none")


@CALLER.case("empty-token", "must", "An empty token is refused", "Nova's usual body with an empty X-Auth-Token")
def empty_token(session: ContractSession) -> Judgement:
    """A check that only tests whether the header exists accepts it."""
    return refused_with(session, "empty")


@CALLER.case(
    "garbage-token",
    "must",
    "A token that Keystone never issued is refused",
    "Nova's usual body with a made-up token that looks like Keystone's",
)
def garbage_token(session: ContractSession) -> Judgement:
    """Only Keystone knows which tokens are valid; a server that does not ask it accepts everybody."""
    return refused_with(session, "garbage")


@CALLER.case(
    "tenant-token",
    "must",
    "A tenant's valid token is refused",
    "Nova's usual body with a valid token of a tenant's user",
)
def tenant_token(session: ContractSession) -> Judgement:
    """Every user of the cloud can get a valid token, and keystonemiddleware alone accepts them all.

    The server itself must check for Nova's account, by its role and project.
    """
    return refused_with(session, "tenant")


@CALLER.case("valid-token", "must", "Nova's token is accepted", "Nova's usual body with a valid token")
def valid_token(session: ContractSession) -> Judgement:
    """After a 401 Nova tries once with a new token (keystoneauth1, Session.request), then gives the instance {}."""
    exchange = answer_to(session, "valid")
    return failed(exchange, f"status {exchange.status}") if exchange.status in {401, 403} else passed(exchange)


@CALLER.case(
    "leaks-no-token",
    "must",
    "No response contains the token that was sent",
    "Nova's usual body, and one that is cut short, with a valid token",
)
def leaks_no_token(session: ContractSession) -> Judgement:
    """The instance reads the answer, and with vendordata_dynamic_failure_fatal the tenant reads an error's text.

    Whoever finds Nova's token there can use Nova's account.
    """
    answered = [session.ask_with("valid"), session.ask("a body that is cut short", CUT, "valid")]
    for exchange in answered:
        token = exchange.request.token or ""
        if token.encode() in exchange.body or any(token in value for value in exchange.headers.values()):
            return failed(exchange, "the response contains the token")
    return passed(answered[-1])


@CALLER.case(
    "refusal-401",
    "should",
    "An invalid token is answered with 401",
    "Nova's usual body with no token, an empty one, a made-up one, and one with a space in it",
)
def refusal_401(session: ContractSession) -> Judgement:
    """401 says that the token is the problem.

    A 403 or 503 instead misleads whoever reads Nova's log, and a 5xx raises an alarm for every stranger.
    """
    refused = [(kind, exchange) for kind in NO_TOKENS if not (exchange := answer_to(session, kind)).accepted]
    if not refused:
        raise NotTested("every request is accepted")
    for kind, exchange in refused:
        if exchange.status != 401:
            return failed(exchange, f"{TOKENS[kind]} is answered with {exchange.status}")
    return passed(refused[-1][1])


@CALLER.case("challenge", "should", "A 401 says where to get a token", "Nova's usual body without X-Auth-Token")
def challenge(session: ContractSession) -> Judgement:
    """A 401 must have WWW-Authenticate (RFC 9110, 15.5.2); OpenStack's clients read Keystone's address from it."""
    exchange = answer_to(session, "none")
    if exchange.status != 401:
        raise NotTested("a request without a token is not answered with 401")
    there = "WWW-Authenticate" in exchange.headers
    return passed(exchange) if there else failed(exchange, "there is no WWW-Authenticate header")


@CALLER.case(
    "before-body", "should", "The token is checked before the body", "a body that is cut short, without X-Auth-Token"
)
def before_body(session: ContractSession) -> Judgement:
    """A stranger should cause no parsing, and learn nothing about valid bodies."""
    usual, broken = answer_to(session, "none"), session.ask("a body that is cut short", CUT, "none")
    if usual.accepted:
        raise NotTested("a request without a token is accepted")
    if usual.status != broken.status:
        return failed(broken, f"without a token a valid body got {usual.status}, and an invalid one {broken.status}")
    return passed(broken)
