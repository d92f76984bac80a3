"""The rows of the table for servers that behave: ours, and the kind that the field runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.support.keystone import NOVA_ADMIN, TENANT
from tests.support.peers.table_form import Case, Made, dropped, kept

MAIL_SERVER: Final = {
    "role": "mail-server",
    "domain": "example.org",
    "hostname": "mail-1.example.org",
    "relayhost": "relay.example.org",
}
ADMIN: Final = {"system_metadata": {"boot_roles": "member,mail-admin"}}
#: 2,113 characters, as Nova passed them on.
ROLES: Final = {"system_metadata": {"boot_roles": f"{'a-role-of-some-length,' * 96}mail-admin"}}
BELIEVED: Final = "the server believes what the tenant chose"
ADMITTED: Final = "any valid token opens the server"


def named(hostname: str) -> Made:
    """A mail server of this name."""
    return kept({**MAIL_SERVER, "hostname": f"{hostname}.example.org"})


def roles(text: str) -> dict[str, Any]:
    """The instance was booted with these."""
    return {"system_metadata": {"boot_roles": text}}


def alike(made: Made, change: Mapping[str, Any], **other: Any) -> dict[str, Case]:
    """All servers give the same, and so does the proxy."""
    case = Case(made, made, change=change, **other)
    return dict.fromkeys(("ours", "waitress", "gunicorn"), case)


def differing(
    ours: Made, theirs: Made, proxied: Made, change: Mapping[str, Any], why: str = "", **other: Any
) -> dict[str, Case]:
    """Ours and the others give different answers; the proxy is in front of either."""
    case = Case(theirs, proxied, why, change, **other)
    return {"ours": Case(ours, ours, change=change, **other), "waitress": case, "gunicorn": case}


#: What is asked of each server.
QUESTIONS: Final = {
    "booted by a mail administrator": alike(kept(MAIL_SERVER), ADMIN),
    "booted by somebody else": alike(kept({}), roles("member")),
    "booted without roles": alike(kept({}), roles("")),
    "booted by nobody knows whom": alike(kept({}), {"system_metadata": {}}),
    "booted with many roles": alike(kept(MAIL_SERVER), ROLES),
    "a role in capitals": differing(kept(MAIL_SERVER), kept({}), kept({}), roles("Mail-Admin")),
    "no user-data": alike(kept(MAIL_SERVER), {**ADMIN, "user_data": None}),
    "all the user-data that Nova takes": alike(kept(MAIL_SERVER), {**ADMIN, "user_data": "QUFB" * 16383}),
    "booted from a volume": alike(kept(MAIL_SERVER), {**ADMIN, "image_ref": ""}),
    "no project and no image": alike(kept(MAIL_SERVER), {**ADMIN, "image_ref": None, "project_id": None}),
    "another alphabet": alike(
        named("\u043f\u043e\u0447\u0442\u0430"), {**ADMIN, "hostname": "\u043f\u043e\u0447\u0442\u0430"}
    ),
    "metadata in another alphabet": alike(kept(MAIL_SERVER), {**ADMIN, "metadata": {"\u043a": "\U0001f4ee"}}),
    "no hostname": differing(
        named("00000000-0000-4000-8000-00000000000b"),
        named("None"),
        named("None"),
        {**ADMIN, "hostname": None, "uuid": "00000000-0000-4000-8000-00000000000b"},
    ),
    "a hostname of two lines": differing(
        dropped("BadRequest", "hostname must not hold control characters (HTTP 400)"),
        named("mail\n1"),
        dropped("BadRequest", "hostname must not hold control characters (HTTP 400)"),
        {**ADMIN, "hostname": "mail\n1"},
        BELIEVED,
    ),
    "user-data that is not base64": alike(kept(MAIL_SERVER), {**ADMIN, "user_data": "x"}),
    "metadata that is not Unicode": differing(
        dropped("BadRequest", "the body metadata.key has a lone surrogate, which is not Unicode text (HTTP 400)"),
        kept(MAIL_SERVER),
        dropped("BadRequest", "the body metadata.key has a lone surrogate, which is not Unicode text (HTTP 400)"),
        {**ADMIN, "metadata": {"key": "\ud800"}},
        BELIEVED,
    ),
    "asked with a revoked token": alike(kept(MAIL_SERVER), ADMIN, revoked=True),
    "asked by an administrator of the project service": alike(kept(MAIL_SERVER), ADMIN, account=NOVA_ADMIN),
    "asked by a tenant": differing(
        dropped("Forbidden", "the owner of the token may not ask for vendordata (HTTP 403)"),
        kept(MAIL_SERVER),
        dropped("Forbidden", "the owner of the token may not ask for vendordata (HTTP 403)"),
        ADMIN,
        ADMITTED,
        account=TENANT,
    ),
    "asked without a token": alike(dropped("Unauthorized"), ADMIN, account=None),
}

#: What becomes of any JSON that a handler of ours answers.
ECHOED: Final = {
    '{"a": {"b": [1, null]}}': {"a": {"b": [1, None]}},
    "{}": {},
    '[1, "two"]': [1, "two"],
    "[]": [],
    '"#cloud-config\\n"': "#cloud-config\n",
    '"\u043a\u043b\u044e\u0447 \\ud83d\\udcee"': "\u043a\u043b\u044e\u0447 \U0001f4ee",
    '""': "",
    "0": 0,
    "-1.5e300": -1.5e300,
    "true": True,
    "false": False,
    "null": {},
    "[" * 64 + "]" * 64: json.loads("[" * 64 + "]" * 64),
}
