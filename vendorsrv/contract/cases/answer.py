"""The contract's cases of what Nova can read: answers, and the errors that come in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from vendorsrv.cloudinit.text import type_of
from vendorsrv.contract.case import Cases, Judgement, failed, passed, readable
from vendorsrv.contract.session import CUT, NotTested, Talk
from vendorsrv.contract.wire import REDIRECTS, Exchange
from vendorsrv.nova.pitfalls import Exchange as Hop
from vendorsrv.nova.pitfalls import Observed, encoding_pitfalls, redirect_pitfalls
from vendorsrv.strictjson import StrictJSONError, parse

ANSWER: Final = Cases("answer")
#: Bytes; nobody needs more, and six copies of it stand on each config drive.
MANY: Final = 2**20
#: What an error says of the server's inside.
INTERNALS: Final = {
    "a traceback": re.compile(
        r"Traceback \(most recent call last\)|File \"[^\"]+\", line \d+|goroutine \d+ \[|\tat [\w.$]+\("
    ),
    "the class of an exception": re.compile(r"\b[A-Z][a-z]\w*(Error|Exception)\b"),
    "a path of its host": re.compile(r"(?<![\w/:.])/(usr|opt|home|root|srv|var|etc|app|tmp)/[\w.-]+"),
    "a parser's own words": re.compile(r"line \d+ column \d+|\(char \d+\)|invalid character '|Unexpected token"),
}


@ANSWER.case(
    "status",
    "must",
    "Nova's usual request is answered with 2xx",
    "Nova's usual body",
    "Every other status is {} for the instance, or with vendordata_dynamic_failure_fatal the end of its boot. A server "
    "that knows only real instances needs the id of one: give it with --instance-id or --payload.",
)
def status(talk: Talk) -> Judgement:
    exchange = talk.usual
    if exchange.timed_out:
        raise NotTested("there is no answer in time: see time-answer")
    if exchange.status in {401, 403}:
        raise NotTested("the token is refused: see caller-valid-token")
    if exchange.status in REDIRECTS:
        raise NotTested("it is a redirect: see answer-redirect")
    if exchange.cut:
        raise NotTested(f"it was read for {exchange.cut}: see answer-size and time-whole")
    return passed(exchange) if exchange.answered else failed(exchange, str(exchange))


@ANSWER.case(
    "redirect",
    "must",
    "Nothing is redirected",
    "Nova's usual body",
    "keystoneauth1 follows a redirect as a POST with the instance's data and the token, to any host, and from http to "
    "https without checking the certificate; the body of a 300 it takes for the answer.",
)
def redirect(talk: Talk) -> Judgement:
    exchange = talk.usual if talk.can_ask else talk.ask_with("none")
    if exchange.status not in REDIRECTS:
        return passed(exchange)
    hop = Hop(talk.target.url, exchange.status or 0, exchange.headers.get("Location"))
    told = list(redirect_pitfalls([hop], with_token=exchange.question.token is not None))
    return failed(exchange, "; ".join(told) or f"Nova takes the body of a {exchange.status} for the answer")


@ANSWER.case(
    "empty",
    "should",
    "An answer has a body",
    "Nova's usual body",
    "204 and an empty body are {} to Nova without a word in its log, with vendordata_dynamic_failure_fatal on too. Who "
    "has nothing for an instance says {}.",
)
def empty(talk: Talk) -> Judgement:
    exchange = talk.good
    return passed(exchange) if exchange.text else failed(exchange, "the answer is empty")


@ANSWER.case(
    "json",
    "must",
    "The answer is JSON that Nova's parser takes",
    "Nova's usual body",
    "Plain text, such as a bare #cloud-config, HTML, white space and a byte order mark are {} to Nova. JSON nested "
    "some thousand levels deep raises RecursionError, although failures are not fatal.",
)
def is_json(talk: Talk) -> Judgement:
    exchange = talk.good
    if exchange.nova is None or not exchange.nova.dropped:
        return passed(exchange)
    hint = ""
    if exchange.text.startswith("\ufeff"):
        hint = "; there is a byte order mark before it"
    elif type_of(exchange.text):
        hint = "; it is bare text for cloud-init, and has to be a JSON string"
    return failed(exchange, exchange.nova.dropped + hint)


@ANSWER.case(
    "finite",
    "must",
    "Numbers are finite",
    "Nova's usual body",
    "Nova takes NaN and Infinity, and writes them on: the instance's whole vendor_data2.json is no JSON then.",
)
def finite(talk: Talk) -> Judgement:
    exchange = readable(talk)
    return passed(exchange) if is_finite(exchange) else failed(exchange, "there is NaN or Infinity in it")


def is_finite(exchange: Exchange) -> bool:
    try:
        json.dumps(exchange.value, allow_nan=False)
    except ValueError:
        return False
    return True


@ANSWER.case(
    "encoding",
    "must",
    "Nova reads the text that was meant",
    "Nova's usual body",
    "A text/* type without a charset is read as Latin-1 (RFC 2616; requests), so that UTF-8 becomes mojibake, and for "
    "bytes that are no UTF-8 there is U+FFFD.",
)
def encoding(talk: Talk) -> Judgement:
    exchange = readable(talk)
    seen = Observed(talk.target.name, talk.target.url, (), False, 0, 0, exchange.body, exchange.text, None)
    wrong = list(encoding_pitfalls(seen))
    return failed(exchange, wrong[0]) if wrong else passed(exchange)


@ANSWER.case(
    "strict",
    "should",
    "The JSON means the same to every parser",
    "Nova's usual body",
    "On duplicate members, lone surrogates, numbers out of range and more than 64 levels parsers disagree (RFC 7493); "
    "cloud-init fails at a lone surrogate.",
)
def strict(talk: Talk) -> Judgement:
    exchange = readable(talk)
    if not is_finite(exchange):
        raise NotTested("there is NaN or Infinity in it: see answer-finite")
    try:
        parse(exchange.text.encode("utf-8", "replace"))
    except StrictJSONError as error:
        return failed(exchange, f"it {error}")
    return passed(exchange)


@ANSWER.case(
    "content-type",
    "should",
    "The answer is declared as application/json",
    "Nova's usual body",
    "Nova asks for it by Accept, and only for this type it reads UTF-8 without being told.",
)
def content_type(talk: Talk) -> Judgement:
    exchange = talk.good
    if not exchange.text:
        raise NotTested("the answer is empty: see answer-empty")
    declared = exchange.headers.get("Content-Type", "")
    media_type, _, parameters = declared.partition(";")
    charset = parameters.partition("=")[2].strip(' "').lower()
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        return failed(exchange, "it is declared as something else" if declared else "it is declared as nothing")
    return passed(exchange)


@ANSWER.case(
    "size",
    "should",
    "The answer has at most 1 MiB",
    "Nova's usual body",
    "Nova has no limit, keeps each answer in memory several times over, and writes it six times onto a config drive, "
    "which holds 64 MiB. cloud-init needs seconds for each MiB.",
)
def size(talk: Talk) -> Judgement:
    exchange = talk.usual
    if exchange.status is None or exchange.status // 100 != 2:
        raise NotTested(f"Nova's usual request has no good answer: {exchange}")
    return failed(exchange, f"it has {len(exchange.body)} bytes") if len(exchange.body) > MANY else passed(exchange)


def errors(talk: Talk) -> Iterator[Exchange]:
    """Give the errors that strangers and broken bodies get."""
    yield talk.ask_with("none")
    if talk.can_ask and talk.usual.answered:
        yield talk.ask("a body that is cut short", CUT, talk.kind)
        yield talk.ask("an empty list", b"[]", talk.kind)


def seen_errors(talk: Talk) -> list[Exchange]:
    found = [exchange for exchange in errors(talk) if exchange.status is not None and exchange.status >= 400]
    if not found:
        raise NotTested("no error was seen")
    return found


@ANSWER.case(
    "error-shape",
    "should",
    "Errors are JSON whose message Nova can log",
    "Nova's usual body without X-Auth-Token, one that is cut short, and an empty list",
    'keystoneauth1 finds the message only in application/json with {"error": {"message": …}} or '
    '{"errors": [{"title": …}]} (exceptions/http.py). All else is "Unrecognized schema in response body." '
    "in Nova's log, or nothing.",
)
def error_shape(talk: Talk) -> Judgement:
    found = seen_errors(talk)
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


@ANSWER.case(
    "error-text",
    "should",
    "Errors say nothing of the server's inside",
    "Nova's usual body without X-Auth-Token, one that is cut short, and an empty list",
    "With vendordata_dynamic_failure_fatal the tenant reads this text in the instance's fault: no traceback, no "
    "exception, no path.",
)
def error_text(talk: Talk) -> Judgement:
    found = seen_errors(talk)
    for exchange in found:
        for what, pattern in INTERNALS.items():
            if pattern.search(exchange.text):
                return failed(exchange, f"the {exchange.status} has {what} in it")
    return passed(found[-1])


@ANSWER.case(
    "request-id",
    "info",
    "A response has a request id",
    "Nova's usual body",
    "With X-Openstack-Request-Id, as all services of OpenStack have it, Nova's log leads to the line in the server's.",
)
def request_id(talk: Talk) -> Judgement:
    exchange = talk.usual if talk.can_ask else talk.ask_with("none")
    if exchange.status is None:
        raise NotTested(f"there is {exchange}")
    there = exchange.headers.get("X-Openstack-Request-Id")
    return passed(exchange) if there else failed(exchange, "there is no X-Openstack-Request-Id")
