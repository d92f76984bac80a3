"""Faults of a vendordata server, and the ids of the contract's cases that find each: literals."""

from __future__ import annotations

import json
from typing import Any

from tests.support.faulty import JSON, NOVA, TENANT, Asked, Fault, Reply, error, refusal, well
from vendorsrv.testing.misbehaviour import Behaviour, hangs_up


def instead(reply: Reply | Behaviour) -> Fault:
    """Answer Nova's good requests with this."""
    return lambda asked, usual: reply if asked.good else usual


def answer(body: str | bytes, **headers: str) -> Fault:
    """Answer Nova's good requests with this body."""
    return instead(Reply(200, body, JSON | {name.replace("_", "-"): value for name, value in headers.items()}))


def refusing(wrong: Any) -> Fault:
    """Refuse Nova's good requests whose payload is as said."""
    return lambda asked, usual: error(400) if asked.good and wrong(asked.payload) else usual


def errors_as(reply: Any) -> Fault:
    """Answer every error by a function of it."""
    return lambda asked, usual: reply(usual) if usual.status >= 400 else usual


def as_nova(asked: Asked) -> Reply:
    """Answer whoever asks as if it were Nova."""
    return well(asked._replace(token=NOVA))


def body_first(asked: Asked, usual: Reply) -> Reply:
    """Look at the body before the token."""
    return refusal(asked) or usual if asked.method == "POST" else usual


CALLERS: dict[str, tuple[Fault, set[str]]] = {
    "no authentication": (
        lambda asked, _: as_nova(asked),
        {"caller-no-token", "caller-empty-token", "caller-garbage-token", "caller-tenant-token"},
    ),
    "any token will do": (
        lambda asked, usual: as_nova(asked) if asked.token else usual,
        {"caller-garbage-token", "caller-tenant-token"},
    ),
    "an empty token will do": (
        lambda asked, usual: as_nova(asked) if asked.token == "" else usual,
        {"caller-empty-token"},
    ),
    "every tenant may ask": (
        lambda asked, usual: as_nova(asked) if asked.token == TENANT else usual,
        {"caller-tenant-token"},
    ),
    "Nova may not ask": (lambda asked, usual: error(403) if asked.may else usual, {"caller-valid-token"}),
    "the token comes back in the answer": (
        lambda asked, usual: Reply(200, json.dumps([NOVA, asked.payload["instance-id"]])) if asked.good else usual,
        {"caller-leaks-no-token"},
    ),
    "the token comes back in an error": (
        lambda asked, usual: error(400, f"{asked.token}?") if usual.status == 400 else usual,
        {"caller-leaks-no-token"},
    ),
    "a strange token is a 503": (
        lambda asked, usual: error(503) if " " in (asked.token or "") else usual,
        {"caller-refusal-401"},
    ),
    "a 401 says not where tokens are from": (
        lambda _, usual: error(401) if usual.status == 401 else usual,
        {"caller-challenge"},
    ),
    "the body is looked at first": (body_first, {"caller-before-body"}),
}

BODIES: dict[str, tuple[Fault, set[str]]] = {
    "needs user-data": (refusing(lambda payload: payload["user-data"] is None), {"body-user-data-null"}),
    "takes 64 KiB": (
        lambda asked, usual: error(413) if len(asked.body) > 65536 else usual,
        {"body-user-data-largest", "body-largest"},
    ),
    "takes 256 KiB": (lambda asked, usual: error(413) if len(asked.body) > 262144 else usual, {"body-largest"}),
    "needs an image": (refusing(lambda payload: payload["image-id"] == ""), {"body-image-id-empty"}),
    "needs metadata": (refusing(lambda payload: not payload["metadata"]), {"body-metadata-empty"}),
    "takes what is ASCII": (
        refusing(lambda payload: not str(payload["metadata"]).isascii()),
        {"body-unicode", "body-largest"},
    ),
    "takes 255 characters of roles": (
        refusing(lambda payload: len(payload.get("boot-roles", "")) > 255),
        {"body-many-roles"},
    ),
    "needs boot-roles": (refusing(lambda payload: "boot-roles" not in payload), {"body-boot-roles-missing"}),
    "takes what it knows": (refusing(lambda payload: len(payload) > 7), {"body-unknown-members"}),
    "takes no null": (refusing(lambda payload: payload["project-id"] is None), {"body-null-members"}),
    "fails at what is no JSON": (
        lambda asked, usual: (
            error(500) if usual.status == 400 and asked.body[:1] == b"{" and b"17" not in asked.body else usual
        ),
        {"body-not-json"},
    ),
    "hangs up at a list": (
        lambda asked, usual: hangs_up if usual.status == 400 and asked.body == b"[]" else usual,
        {"body-wrong-types"},
    ),
    "fails at other types": (
        lambda asked, usual: error(500) if usual.status == 400 and b"17" in asked.body else usual,
        {"body-wrong-types"},
    ),
    "answers a GET": (
        lambda asked, usual: Reply(200, "{}") if asked.may and asked.method == "GET" else usual,
        {"body-get"},
    ),
}

ANSWERS: dict[str, tuple[Fault, set[str]]] = {
    "500": (instead(error(500)), {"answer-status"}),
    "breaks off": (instead(hangs_up), {"answer-status"}),
    "redirect": (instead(Reply(307, "", {"Location": "http://elsewhere.example/"})), {"answer-redirect"}),
    "300": (instead(Reply(300, '{"a": 1}')), {"answer-redirect"}),
    "204": (instead(Reply(204, "", {})), {"answer-empty"}),
    "nothing": (answer(""), {"answer-empty"}),
    "bare cloud-config": (answer("#cloud-config\nruncmd: []\n"), {"answer-json"}),
    "byte order mark": (answer("\ufeff{}"), {"answer-json"}),
    "html": (answer("<html></html>", Content_Type="text/html"), {"answer-json", "answer-content-type"}),
    "deep": (answer("[" * 100_000 + "]" * 100_000), {"answer-json"}),
    "NaN": (answer('{"a": NaN}'), {"answer-finite"}),
    "out of range": (answer('{"a": 1e999}'), {"answer-finite"}),
    "mojibake": (answer('"M\u00fcller"', Content_Type="text/plain"), {"answer-encoding", "answer-content-type"}),
    "no UTF-8": (answer(b'"M\xfcller"'), {"answer-encoding"}),
    "duplicate members": (answer('{"a": 1, "a": 2}'), {"answer-strict"}),
    "lone surrogate": (answer('"\\ud800"'), {"answer-strict"}),
    "no content type": (answer("{}", Content_Type=""), {"answer-content-type"}),
    "2 MiB": (answer(json.dumps("x" * 2**21)), {"answer-size"}),
    "9 MiB": (answer(json.dumps("x" * 9 * 2**20)), {"answer-size"}),
    "errors are text": (
        errors_as(lambda usual: usual._replace(headers={**usual.headers, "Content-Type": "text/plain"})),
        {"answer-error-shape"},
    ),
    "errors are FastAPI's": (errors_as(lambda usual: usual._replace(body='{"detail": "no"}')), {"answer-error-shape"}),
    "errors are no JSON": (errors_as(lambda usual: usual._replace(body="no")), {"answer-error-shape"}),
    "errors have a traceback": (
        errors_as(lambda usual: usual._replace(body='{"errors": [{"title": "Traceback (most recent call last)"}]}')),
        {"answer-error-text"},
    ),
    "errors have a path": (
        errors_as(lambda usual: usual._replace(body='{"error": {"message": "no /opt/rack/keys.json"}}')),
        {"answer-error-text"},
    ),
    "no request id": (
        lambda _, usual: usual._replace(headers={**usual.headers, "X-Openstack-Request-Id": ""}),
        {"answer-request-id"},
    ),
}
