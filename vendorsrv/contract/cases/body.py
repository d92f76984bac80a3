"""The contract's cases of request bodies: all kinds that Nova sends, and some that are invalid."""

from __future__ import annotations

import json
from typing import Any, Final

from keystoneauth1.session import Session

from vendorsrv.contract.case import Cases, Judgement, failed, passed
from vendorsrv.contract.session import CUT, ContractSession, encoded
from vendorsrv.contract.wire import Exchange

BODY: Final = Cases("body")
#: Nova's limits: user-data in base64 (``MAX_USERDATA_SIZE``), keys and values of metadata, and the default quota.
USER_DATA: Final = 65535
TEXT: Final = 255
ITEMS: Final = 128
NULLABLE: Final = ("project-id", "image-id", "hostname")


def accepted(exchange: Exchange) -> Judgement:
    return passed(exchange) if exchange.answered else failed(exchange, f"this body is refused: {exchange}")


def withstood(exchange: Exchange) -> Judgement:
    """Judge the answer to a body that Nova never sends; a server that does not read the body may accept it."""
    if exchange.status is None or exchange.status >= 500:
        return failed(exchange, f"the server failed: {exchange}")
    return passed(exchange, "the server accepts this body" if exchange.answered else "")


@BODY.case(
    "other-project",
    "must",
    "The instance's project need not be the token's",
    "Nova's usual body, whose project-id is not the token's project; if it is refused, one whose project-id is",
)
def other_project(session: ContractSession) -> Judgement:
    """The token is Nova's, usually of the project service; only the body says whose instance it is."""
    caller = session.subject.caller
    own = caller.get_project_id() if isinstance(caller, Session) and caller.auth else None
    if not session.usual.answered and own:
        body = encoded({**session.payload, "project-id": own})
        if session.ask("Nova's body with the token's own project", body, session.token_kind).answered:
            return failed(session.usual, "this body is refused, but accepted with the token's project")
    return passed(session.good)


@BODY.case("user-data-null", "must", "An instance without user-data gets an answer", "Nova's body with user-data null")
def user_data_null(session: ContractSession) -> Judgement:
    """user-data is null when the user gave none (nova/api/metadata/vendordata_dynamic.py)."""
    return accepted(session.vary("with user-data null", {"user-data": None}))


@BODY.case(
    "user-data-largest", "must", "The largest user-data is accepted", "Nova's body with user-data of 65,535 characters"
)
def user_data_largest(session: ContractSession) -> Judgement:
    """Nova allows that much, in base64."""
    return accepted(session.vary("with user-data of 65,535 characters", {"user-data": "A" * USER_DATA}))


@BODY.case(
    "image-id-empty",
    "must",
    "An instance that was booted from a volume gets an answer",
    "Nova's body with image-id an empty string",
)
def image_id_empty(session: ContractSession) -> Judgement:
    """Such an instance has no image, so Nova sends an empty string."""
    return accepted(session.vary("with an empty image-id", {"image-id": ""}))


@BODY.case(
    "metadata-empty", "must", "An instance without metadata gets an answer", "Nova's body with metadata an empty object"
)
def metadata_empty(session: ContractSession) -> Judgement:
    """Most instances have none."""
    return accepted(session.vary("with metadata empty", {"metadata": {}}))


@BODY.case(
    "unicode",
    "must",
    "Metadata in any script is accepted",
    "Nova's body with metadata in Latin, Greek, Chinese and emoji, as \\u escapes",
)
def unicode(session: ContractSession) -> Judgement:
    """Users write it in any language. Nova's JSON is ASCII, so one character may be sent as two escapes."""
    metadata = {"caf\u00e9": "\u03b1\u03b2\u03b3", "\u4e2d\u6587": "\U0001f4e7"}
    return accepted(session.vary("with metadata in other scripts", {"metadata": metadata}))


@BODY.case(
    "largest",
    "must",
    "The largest body that Nova's default limits allow is accepted",
    "Nova's body with 128 items of metadata of 255 + 255 characters beyond ASCII, and the largest user-data (460 KB)",
)
def largest(session: ContractSession) -> Judgement:
    """A limit on bodies below 1 MiB refuses some instances, and Nova gives them {}."""
    metadata = {f"{number:03}".ljust(TEXT, "\u00e9"): "\u00e9" * TEXT for number in range(ITEMS)}
    return accepted(session.vary("of the largest size", {"metadata": metadata, "user-data": "A" * USER_DATA}))


@BODY.case("many-roles", "must", "A user with many roles gets an answer", "Nova's body with boot-roles of 120 names")
def many_roles(session: ContractSession) -> Judgement:
    """Nova never truncates the list, and implied roles make it long."""
    roles = ",".join(f"role-number-{number:03}" for number in range(120))
    return accepted(session.vary("with 120 boot-roles", {"boot-roles": roles}))


@BODY.case("boot-roles-missing", "should", "An older Nova's body is accepted", "Nova's body without boot-roles")
def boot_roles_missing(session: ContractSession) -> Judgement:
    """Nova before Ocata sends none."""
    return accepted(session.vary("without boot-roles", {}, without=["boot-roles"]))


@BODY.case("unknown-members", "should", "A newer Nova's body is accepted", "Nova's body with two more members")
def unknown_members(session: ContractSession) -> Judgement:
    """boot-roles was added later than the others; the next new member must not break every boot."""
    more: dict[str, Any] = {"flavor-id": "m1.small", "availability-zone": {"name": "nova", "hints": [1, None]}}
    return accepted(session.vary("with two unknown members", more))


@BODY.case(
    "null-members",
    "should",
    "Members that may be null are accepted as null",
    "Nova's body with project-id, image-id and hostname null",
)
def null_members(session: ContractSession) -> Judgement:
    """nova.objects.Instance allows null for all three."""
    words = f"with {', '.join(NULLABLE)} null"
    return accepted(session.vary(words, dict.fromkeys(NULLABLE)))


@BODY.case(
    "not-json", "should", "A body that is not JSON is refused, in time and not with a 5xx", "a body that is cut short"
)
def not_json(session: ContractSession) -> Judgement:
    """A proxy between Nova and the server may cut or change a body.

    A 500 is then a fault that the server did not foresee, and often contains the text of an exception.
    """
    session.require_good_answer()
    return withstood(session.ask("a body that is cut short", CUT, session.token_kind))


@BODY.case(
    "wrong-types",
    "should",
    "JSON of another structure is refused, and not with a 5xx",
    "an empty list, and Nova's body with instance-id a number, metadata a list and user-data an object",
)
def wrong_types(session: ContractSession) -> Judgement:
    """As for a body that is not JSON."""
    session.require_good_answer()
    wrong = json.dumps({**session.payload, "instance-id": 17, "metadata": ["x"], "user-data": {}}).encode()
    first = withstood(session.ask("an empty list", b"[]", session.token_kind))
    return withstood(session.ask("members of other types", wrong, session.token_kind)) if first.passed else first


@BODY.case("get", "info", "Other methods than POST are refused", "a GET without a body")
def get(session: ContractSession) -> Judgement:
    """Nova only posts. A server that answers a GET does not know for which instance."""
    session.require_good_answer()
    exchange = session.ask("nothing", b"", session.token_kind, "GET")
    if exchange.status is not None and 400 <= exchange.status < 500:
        return passed(exchange)
    return failed(exchange, f"a GET got {exchange}")
