"""The contract's cases of answers: what Nova can read, and the errors that it may get instead."""

from __future__ import annotations

import json
import re
from typing import Final

from vendorsrv.cloudinit.text import type_of
from vendorsrv.contract.case import Cases, Judgement, failed, passed, readable
from vendorsrv.contract.session import CUT, ContractSession, NotTested
from vendorsrv.contract.wire import Exchange
from vendorsrv.nova.pitfalls import REDIRECTS, Hop, encoding_pitfalls, is_finite, redirect_pitfalls
from vendorsrv.strictjson import StrictJSONError, parse

ANSWER: Final = Cases("answer")
#: Bytes; larger answers are hardly useful, and each config drive has six copies.
MAX_BYTES: Final = 2**20
SENT_FOR_ERRORS: Final = "Nova's usual body without X-Auth-Token, one that is cut short, and an empty list"
#: Details of the server that an error must not show.
INTERNALS: Final = {
    "a traceback": re.compile(
        r'Traceback \(most recent call last\)|File "[^"]+", line \d+|goroutine \d+ \[|\tat [\w.$]+\('
    ),
    "the class of an exception": re.compile(r"\b[A-Z][a-z]\w*(Error|Exception)\b"),
    "a path of its host": re.compile(r"(?<![\w/:.])/(usr|opt|home|root|srv|var|etc|app|tmp)/[\w.-]+"),
    "a parser's own words": re.compile(r"line \d+ column \d+|\(char \d+\)|invalid character '|Unexpected token"),
}


@ANSWER.case("status", "must", "Nova's usual request is answered with 2xx")
def status(session: ContractSession) -> Judgement:
    """With any other status the instance gets {}, or with vendordata_dynamic_failure_fatal its boot fails.

    A server that knows only real instances needs the id of one: give it with --instance-id or --payload.
    """
    exchange = session.usual
    if exchange.timed_out:
        raise NotTested("there was no answer in time: see time-answer")
    if exchange.status in {401, 403}:
        raise NotTested("the token is refused: see caller-valid-token")
    if exchange.status in REDIRECTS:
        raise NotTested("the answer is a redirect: see answer-redirect")
    if exchange.cut:
        raise NotTested(f"reading stopped after {exchange.cut}: see answer-size and time-whole")
    return passed(exchange) if exchange.answered else failed(exchange, str(exchange))


@ANSWER.case("redirect", "must", "Nothing is redirected")
def redirect(session: ContractSession) -> Judgement:
    """keystoneauth1 follows a redirect as a POST with the instance's data and the token, to any host.

    It goes from http to https without checking the certificate, and takes the body of a 300 for the answer.
    """
    exchange = session.usual if session.can_ask else session.ask_with("none")
    if exchange.status not in REDIRECTS:
        return passed(exchange)
    hop = Hop(session.target.url, exchange.status or 0, exchange.headers.get("Location"))
    told = list(redirect_pitfalls([hop], with_token=exchange.request.token is not None))
    return failed(exchange, "; ".join(told) or f"Nova takes the body of a {exchange.status} for the answer")


@ANSWER.case("empty", "should", "An answer has a body")
def empty(session: ContractSession) -> Judgement:
    """Nova takes a 204 or an empty body for {} without logging it, even with vendordata_dynamic_failure_fatal on.

    A server that has nothing for an instance answers {}.
    """
    exchange = session.good
    return passed(exchange) if exchange.text else failed(exchange, "the answer is empty")


@ANSWER.case("json", "must", "The answer is JSON that Nova's parser accepts")
def is_json(session: ContractSession) -> Judgement:
    """Nova takes plain text, such as a bare #cloud-config, HTML, white space and a byte order mark for {}.

    JSON that is nested thousands of levels deep raises RecursionError, although failures are not fatal.
    """
    exchange = session.good
    if exchange.nova is None or not exchange.nova.dropped:
        return passed(exchange)
    hint = ""
    if exchange.text.startswith("\ufeff"):
        hint = "; it begins with a byte order mark"
    elif type_of(exchange.text):
        hint = "; it is bare text for cloud-init, which must be a JSON string"
    return failed(exchange, exchange.nova.dropped + hint)


@ANSWER.case("finite", "must", "Numbers are finite")
def finite(session: ContractSession) -> Judgement:
    """Nova accepts NaN and Infinity and passes them on: the instance's whole vendor_data2.json is then invalid JSON."""
    exchange = readable(session)
    return passed(exchange) if is_finite(exchange.value) else failed(exchange, "the answer contains NaN or Infinity")


@ANSWER.case("encoding", "must", "Nova reads the text as it was meant")
def encoding(session: ContractSession) -> Judgement:
    """Nova (requests) decodes a text/* type without a charset as Latin-1 (RFC 2616), which garbles UTF-8.

    It replaces bytes that are not UTF-8 with U+FFFD.
    """
    exchange = readable(session)
    wrong = next(encoding_pitfalls(exchange.body, exchange.text), None)
    return failed(exchange, wrong) if wrong else passed(exchange)


@ANSWER.case("strict", "should", "The JSON means the same to every parser")
def strict(session: ContractSession) -> Judgement:
    """Parsers disagree on duplicate members, lone surrogates, numbers out of range (RFC 7493) and more than 64 levels.

    cloud-init fails at a lone surrogate.
    """
    exchange = readable(session)
    if not is_finite(exchange.value):
        raise NotTested("the answer contains NaN or Infinity: see answer-finite")
    try:
        parse(exchange.text.encode("utf-8", "replace"))
    except StrictJSONError as error:
        return failed(exchange, f"the answer {error}")
    return passed(exchange)


@ANSWER.case("content-type", "should", "The answer is declared as application/json")
def content_type(session: ContractSession) -> Judgement:
    """Nova asks for this type with Accept, and decodes only this type as UTF-8 without a charset."""
    exchange = session.good
    if not exchange.text:
        raise NotTested("the answer is empty: see answer-empty")
    declared = exchange.headers.get("Content-Type", "")
    media_type, _, parameters = declared.partition(";")
    charset = parameters.partition("=")[2].strip(' "').lower()
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        return failed(exchange, "the Content-Type is another one" if declared else "there is no Content-Type")
    return passed(exchange)


@ANSWER.case("size", "should", "The answer has at most 1 MiB")
def size(session: ContractSession) -> Judgement:
    """Nova sets no limit and keeps several copies of each answer in memory.

    It writes the answer six times to a config drive, which holds 64 MiB. cloud-init needs seconds for each MiB.
    """
    exchange = session.usual
    if not exchange.accepted:
        raise NotTested(f"Nova's usual request has no good answer: {exchange}")
    length = len(exchange.body)
    return failed(exchange, f"the answer has {length} bytes") if length > MAX_BYTES else passed(exchange)


def errors(session: ContractSession) -> list[Exchange]:
    """Return the errors that requests without a token or with an invalid body are answered with."""
    answers = [session.ask_with("none")]
    if session.can_ask and session.usual.answered:
        answers.append(session.ask("a body that is cut short", CUT, session.token_kind))
        answers.append(session.ask("an empty list", b"[]", session.token_kind))
    found = [exchange for exchange in answers if exchange.status is not None and exchange.status >= 400]
    if not found:
        raise NotTested("the server answered with no error")
    return found


@ANSWER.case("error-shape", "should", "Errors are JSON with a message that Nova can log", SENT_FOR_ERRORS)
def error_shape(session: ContractSession) -> Judgement:
    """keystoneauth1 finds the message only in application/json of two forms (exceptions/http.py).

    They are {"error": {"message": …}} and {"errors": [{"title": …}]}. For others Nova logs "Unrecognized schema in
    response body." or nothing.
    """
    found = errors(session)
    for exchange in found:
        if not has_message(exchange):
            return failed(exchange, f"the {exchange.status} has no message that Nova can find")
    return passed(found[-1])


def has_message(exchange: Exchange) -> bool:
    if not exchange.headers.get("Content-Type", "").lower().startswith("application/json"):
        return False
    try:
        said = json.loads(exchange.text)
        message = said["error"]["message"] if "error" in said else said["errors"][0]["title"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
    return isinstance(message, str) and bool(message)


@ANSWER.case("error-text", "should", "Errors reveal nothing about the server's internals", SENT_FOR_ERRORS)
def error_text(session: ContractSession) -> Judgement:
    """With vendordata_dynamic_failure_fatal the tenant reads this text in the instance's fault.

    It should contain no traceback, no exception and no path.
    """
    found = errors(session)
    for exchange in found:
        for what, pattern in INTERNALS.items():
            if pattern.search(exchange.text):
                return failed(exchange, f"the {exchange.status} contains {what}")
    return passed(found[-1])


@ANSWER.case("request-id", "info", "A response has a request id")
def request_id(session: ContractSession) -> Judgement:
    """With X-Openstack-Request-Id, which all OpenStack services send, a line of Nova's log leads to the server's."""
    exchange = session.usual if session.can_ask else session.ask_with("none")
    if exchange.status is None:
        raise NotTested(f"the call got {exchange}")
    there = exchange.headers.get("X-Openstack-Request-Id")
    return passed(exchange) if there else failed(exchange, "there is no X-Openstack-Request-Id")
