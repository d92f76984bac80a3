"""The contract's cases of what Nova sends: every body that is legal, and some that are none."""

from __future__ import annotations

import json
from typing import Any, Final

from keystoneauth1.session import Session

from vendorsrv.contract.case import Cases, Judgement, failed, passed
from vendorsrv.contract.session import CUT, Talk, encoded
from vendorsrv.contract.wire import Exchange

BODY: Final = Cases("body")
#: Nova's limits: user-data in base64 (``MAX_USERDATA_SIZE``), keys and values of metadata, and the default quota.
USER_DATA: Final = 65535
TEXT: Final = 255
ITEMS: Final = 128
NULLABLE: Final = ("project-id", "image-id", "hostname")


def accepted(exchange: Exchange) -> Judgement:
    return passed(exchange) if exchange.answered else failed(exchange, f"it is refused: {exchange}")


def withstood(exchange: Exchange) -> Judgement:
    """Judge what came for a body that Nova never sends; a server that does not look at the body may answer it."""
    if exchange.status is None or exchange.status >= 500:
        return failed(exchange, f"it is more than the server can take: {exchange}")
    return passed(exchange, "it is answered as if nothing were wrong" if exchange.answered else "")


@BODY.case(
    "other-project",
    "must",
    "The instance's project need not be the token's",
    "Nova's usual body, whose project-id is not the project of the token; if it is refused, one whose project-id is",
    "The token is Nova's, of the project service as a rule; whose instance it is, only the body says.",
)
def other_project(talk: Talk) -> Judgement:
    caller = talk.subject.caller
    own = caller.get_project_id() if isinstance(caller, Session) and caller.auth else None
    if not talk.usual.answered and own:
        body = encoded({**talk.payload, "project-id": own})
        if talk.ask("Nova's body with the token's own project", body, talk.kind).answered:
            return failed(talk.usual, "it is refused, and answered for the project of the token")
    return passed(talk.good)


@BODY.case(
    "user-data-null",
    "must",
    "An instance without user-data is answered",
    "Nova's body with user-data null",
    "user-data is null whenever the user gave none (nova/api/metadata/vendordata_dynamic.py).",
)
def user_data_null(talk: Talk) -> Judgement:
    return accepted(talk.vary("with user-data null", {"user-data": None}))


@BODY.case(
    "user-data-largest",
    "must",
    "The largest user-data is taken",
    "Nova's body with user-data of 65,535 characters",
    "Nova lets a user give that much, in base64.",
)
def user_data_largest(talk: Talk) -> Judgement:
    return accepted(talk.vary("with user-data of 65,535 characters", {"user-data": "A" * USER_DATA}))


@BODY.case(
    "image-id-empty",
    "must",
    "An instance that was booted from a volume is answered",
    "Nova's body with image-id an empty string",
    "Such an instance has no image, and Nova then sends an empty string.",
)
def image_id_empty(talk: Talk) -> Judgement:
    return accepted(talk.vary("with an empty image-id", {"image-id": ""}))


@BODY.case(
    "metadata-empty",
    "must",
    "An instance without metadata is answered",
    "Nova's body with metadata an empty object",
    "Most instances have none.",
)
def metadata_empty(talk: Talk) -> Judgement:
    return accepted(talk.vary("with metadata empty", {"metadata": {}}))


@BODY.case(
    "unicode",
    "must",
    "Metadata in any script is taken",
    "Nova's body with metadata in Latin, Greek, Chinese and emoji, as \\u escapes",
    "Users write it as they like. Nova's JSON is ASCII, so that a character may come as two escapes.",
)
def unicode(talk: Talk) -> Judgement:
    metadata = {"caf\u00e9": "\u03b1\u03b2\u03b3", "\u4e2d\u6587": "\U0001f4e7"}
    return accepted(talk.vary("with metadata in other scripts", {"metadata": metadata}))


@BODY.case(
    "largest",
    "must",
    "The largest body that Nova's default limits let through is taken",
    "Nova's body with 128 items of metadata of 255 + 255 characters beyond ASCII, and the largest user-data (460 KB)",
    "A limit on bodies below 1 MiB turns some instances away, and Nova gives them {}.",
)
def largest(talk: Talk) -> Judgement:
    metadata = {f"{number:03}".ljust(TEXT, "\u00e9"): "\u00e9" * TEXT for number in range(ITEMS)}
    return accepted(talk.vary("of the largest size", {"metadata": metadata, "user-data": "A" * USER_DATA}))


@BODY.case(
    "many-roles",
    "must",
    "A user with many roles is answered",
    "Nova's body with boot-roles of 120 names",
    "Nova never cuts the list, and implied roles make it long.",
)
def many_roles(talk: Talk) -> Judgement:
    roles = ",".join(f"role-number-{number:03}" for number in range(120))
    return accepted(talk.vary("with 120 boot-roles", {"boot-roles": roles}))


@BODY.case(
    "boot-roles-missing",
    "should",
    "An older Nova's body is taken",
    "Nova's body without boot-roles",
    "Novas before Ocata send none.",
)
def boot_roles_missing(talk: Talk) -> Judgement:
    return accepted(talk.vary("without boot-roles", {}, without=["boot-roles"]))


@BODY.case(
    "unknown-members",
    "should",
    "A newer Nova's body is taken",
    "Nova's body with two more members",
    "boot-roles came later than the others; the next one must not end every boot.",
)
def unknown_members(talk: Talk) -> Judgement:
    more: dict[str, Any] = {"flavor-id": "m1.small", "availability-zone": {"name": "nova", "hints": [1, None]}}
    return accepted(talk.vary("with two unknown members", more))


@BODY.case(
    "null-members",
    "should",
    "What may be null in Nova's object is taken as null",
    "Nova's body with project-id, image-id and hostname null",
    "nova.objects.Instance lets all three be null.",
)
def null_members(talk: Talk) -> Judgement:
    words = f"with {', '.join(NULLABLE)} null"
    return accepted(talk.vary(words, dict.fromkeys(NULLABLE)))


@BODY.case(
    "not-json",
    "should",
    "A body that is no JSON is refused, in time and not with a 5xx",
    "a body that is cut short",
    "Something between Nova and the server may cut or change a body. A 500 for it is a fault that the server did not "
    "foresee, and often has the text of an exception.",
)
def not_json(talk: Talk) -> Judgement:
    talk.insist()
    return withstood(talk.ask("a body that is cut short", CUT, talk.kind))


@BODY.case(
    "wrong-types",
    "should",
    "JSON of another form is refused, and not with a 5xx",
    "an empty list; and Nova's body with instance-id a number, metadata a list and user-data an object",
    "As for what is no JSON.",
)
def wrong_types(talk: Talk) -> Judgement:
    talk.insist()
    wrong = json.dumps({**talk.payload, "instance-id": 17, "metadata": ["x"], "user-data": {}}).encode()
    first = withstood(talk.ask("an empty list", b"[]", talk.kind))
    return withstood(talk.ask("members of other types", wrong, talk.kind)) if first.passed else first


@BODY.case(
    "get",
    "info",
    "What is no POST is refused",
    "a GET without a body",
    "Nova only posts. Whatever answers a GET does so without knowing for which instance.",
)
def get(talk: Talk) -> Judgement:
    talk.insist()
    exchange = talk.ask("nothing", b"", talk.kind, "GET")
    if exchange.status is not None and 400 <= exchange.status < 500:
        return passed(exchange)
    return failed(exchange, f"a GET gives {exchange}")
