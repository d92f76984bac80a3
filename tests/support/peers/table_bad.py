"""The rows of the table for a server that answers in each way of ``vendorsrv.testing``, good and bad."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.support.peers.table_form import Case, Made, always, bad_gateway, dropped, gateway_timeout, kept
from vendorsrv.testing.misbehaviour import Behaviour, body, drips, raw

#: Answers whose bytes a parser and a new encoder would change, and one that drips: behaviours of this table's own.
OWN: Final[dict[str, Behaviour]] = {
    "spacing": body(b' {"a" : [1,2 ,3],\n\t"b":{} } '),
    "order": body(b'{"z": 1, "a": 2, "m": {"y": 1, "b": 2}}'),
    "numbers": body(b"[1.0, 1e2, -0.0, 12345678901234567890, 0.1, 1E+2, 1.10]"),
    "escapes": body(b'"\\u00fc \\/ \\ud83d\\udcee \\u0000"'),
    "text": body('{"\u043a": "\U0001f4ee"}'.encode()),
    "for cloud-init": body(b'{"cloud-init": "#cloud-config\\nruncmd: []\\n"}'),
    "dripping for long": drips(raw(200, '{"a":                     "slow"}'), 0.15, 25),
}
UNREADABLE: Final = "the answer of upstream … "

GOOD: Final = "there is nothing to better"
GUESSED: Final = "data or a failure, nothing between"
TOO_MUCH: Final = "Nova has no limit"
REDIRECTED: Final = "Nova follows, with the instance's data and the token"
NO_DATA: Final = "the error says what is wrong with it, and where"
REFUSED: Final = "`on_error` decides for each target, Nova for all at once"
RAISED: Final = "the instance gets no vendordata of any target"
SLOW: Final = "Nova's limit is for each read, a proxy's for the whole answer"
SURPLUS: Final = "what follows an answer could become that of another instance"
BROKEN: Final = "the whole answer or none"


def status(code: int) -> Made:
    """Return what the proxy says of a status that is none of success."""
    return bad_gateway(f"upstream … answered with status {code}")


def unreadable(reason: str) -> Made:
    """Return what the proxy says of a body that is no JSON, or more than JSON allows."""
    return bad_gateway(f"{UNREADABLE}{reason}")


def refused(code: int, raises: str) -> Case:
    """Nova reads the server's own message in either case; through the proxy it stays in the proxy's log."""
    return Case(dropped(raises, f"no such rack (HTTP {code})"), status(code), REFUSED)


def followed(code: int) -> Case:
    """Nova posts again where it is sent to, with body and token."""
    return Case(kept({"role": "mail-server"}), status(code), REDIRECTED)


def late(direct: Made) -> Case:
    """The proxy's time is over."""
    return Case(direct, gateway_timeout(), SLOW)


def passed(values: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    """Return the rows of good answers: byte by byte the same entry."""
    for name, value in values.items():
        yield name, Case(kept(value), kept(value), GOOD)


PASSED: Final = dict(
    passed(
        {
            "object": {"role": "mail-server"},
            "created": {"a": 1},
            "accepted": {"a": 1},
            "list": [1, [2]],
            "string": "#cloud-config",
            "number": 17,
            "true": True,
            "null": None,
            "no content": {},
            "empty body": {},
            "latin-1": "M\u00c3\u00bcller",
            "utf-8 text": "M\u00fcller",
            "true latin-1": "M\u00fcller",
            "dripping": {"a": "slow"},
            "chunked": {"a": 1},
            "gzip": {"a": 1},
            "spacing": {"a": [1, 2, 3], "b": {}},
            "order": {"z": 1, "a": 2, "m": {"y": 1, "b": 2}},
            "numbers": [1.0, 100.0, -0.0, 12345678901234567890, 0.1, 100.0, 1.1],
            "escapes": "\u00fc / \U0001f4ee \0",
            "text": {"\u043a": "\U0001f4ee"},
            "for cloud-init": {"cloud-init": "#cloud-config\nruncmd: []\n"},
        }
    )
)

BETTERED: Final = {
    "no utf-8": Case(kept("M\ufffdller"), unreadable("is not UTF-8 (byte 2)"), GUESSED),
    "duplicate names": Case(kept({"a": 2}), unreadable("has the member a more than once"), GUESSED),
    "lone surrogate": Case(kept("\ud800"), unreadable("has a lone surrogate, which is not Unicode text"), GUESSED),
    "nan": Case(kept(json.loads("[NaN]")), unreadable("has NaN, which is not JSON"), GUESSED),
    "infinity": Case(kept([float("inf")]), unreadable("has Infinity, which is not JSON"), GUESSED),
    "out of range": Case(kept(float("inf")), unreadable("has a number that is out of range"), GUESSED),
    "5 MB": Case(kept("x" * 5 * 2**20), bad_gateway("upstream … answered with more than 1048576 bytes"), TOO_MUCH),
    "not modified": Case(kept({}), status(304), GUESSED),
    "300": Case(kept({"a": 300}), status(300), GUESSED),
    "302 without location": Case(kept({"a": 302}), status(302), GUESSED),
    "301": followed(301),
    "302": followed(302),
    "303": followed(303),
    "305": followed(305),
    "307": followed(307),
    "308": followed(308),
    "circle": Case(kept("dizzy"), status(307), REDIRECTED),
    "relative location": Case(dropped("UnknownConnectionError"), status(307), REDIRECTED),
    "broken location": Case(dropped("ValueError"), status(307), REDIRECTED),
    "deep": Case(always("RecursionError"), unreadable("has more than 10000 values"), RAISED),
    "errors that are strings": Case(always("AttributeError"), status(500), RAISED),
    "receipt": Case(always("MissingAuthMethods"), status(401), RAISED),
    "bad receipt": Case(always("KeyError"), status(401), RAISED),
    "slow": late(dropped("ConnectTimeout")),
    "silent": late(dropped("ConnectTimeout")),
    "stuck in the body": late(dropped("ConnectFailure")),
    "dripping for long": late(kept({"a": "slow"})),
}

NOT_JSON: Final = "is not JSON: Expecting value (line 1, column 1)"
FAILED: Final = {
    "html": Case(dropped("JSONDecodeError"), unreadable(NOT_JSON), NO_DATA),
    "white space": Case(
        dropped("JSONDecodeError"), unreadable("is not JSON: Expecting value (line 2, column 1)"), NO_DATA
    ),
    "byte order mark": Case(dropped("JSONDecodeError"), unreadable(NOT_JSON), NO_DATA),
    "cloud-config": Case(dropped("JSONDecodeError"), unreadable(NOT_JSON), NO_DATA),
    "long number": Case(dropped("ValueError"), unreadable("has a number that is out of range"), NO_DATA),
    "400": refused(400, "BadRequest"),
    "401": refused(401, "Unauthorized"),
    "403": refused(403, "Forbidden"),
    "404": refused(404, "NotFound"),
    "405": refused(405, "MethodNotAllowed"),
    "409": refused(409, "Conflict"),
    "413": refused(413, "RequestEntityTooLarge"),
    "422": refused(422, "UnprocessableEntity"),
    "429": refused(429, "TooManyRequests"),
    "499": refused(499, "HTTPClientError"),
    "500": refused(500, "InternalServerError"),
    "502": refused(502, "BadGateway"),
    "503": refused(503, "ServiceUnavailable"),
    "504": refused(504, "GatewayTimeout"),
    "599": refused(599, "HttpServerError"),
    "retry after": refused(503, "ServiceUnavailable"),
    "hangs up": Case(
        dropped("ConnectFailure"), bad_gateway("upstream … sent an incomplete or broken response"), BROKEN
    ),
    "cut short": Case(
        dropped("UnknownConnectionError"), bad_gateway("upstream … sent an incomplete or broken response"), BROKEN
    ),
    "wrong length": Case(
        dropped("JSONDecodeError"), bad_gateway("upstream … sent an incomplete or broken response"), BROKEN
    ),
    "two responses": Case(kept({"a": 1}), bad_gateway("upstream … sent an incomplete or broken response"), SURPLUS),
    "bad gzip": Case(
        dropped("UnknownConnectionError"), bad_gateway("upstream … sent an incomplete or broken response"), BROKEN
    ),
    "refused": Case(dropped("ConnectFailure"), bad_gateway("upstream … cannot be reached"), REFUSED),
}

BAD: Final = PASSED | BETTERED | FAILED
