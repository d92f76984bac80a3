"""What Nova itself sends, captured from it: the wire form that vendorsrv.request must take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.keystone import NOVA, TENANT, Keystone
from tests.support.peers.nova import INSTANCE, Nova, listening
from tests.support.serving import free_port


def test_the_request_line(nova: Nova) -> None:
    """Nova posts to the target's path as nova.conf has it."""
    request = nova.capture(INSTANCE)
    assert ("POST", "/mailserver") == (request.method, request.path)


def test_the_headers(nova: Nova, keystone: Keystone) -> None:
    """Nova sends these headers and no others: no request id, no service token; the token is that of Nova's own user."""
    request = nova.capture(INSTANCE)
    headers = dict(request.headers)
    token, host = headers.pop("X-Auth-Token"), headers.pop("Host")
    assert {
        "User-Agent": "openstack-nova-vendordata",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "application/json",
        "Connection": "keep-alive",
        "Content-Type": "application/json",
        "Content-Length": "277",
    } == headers
    assert host.startswith("127.0.0.1:")
    assert keystone.accepts(token)


def test_other_credentials_get_another_token(nova: Nova, keystone: Keystone) -> None:
    """Configured with another user, Nova sends that user's token."""
    requests = [nova.capture(INSTANCE, as_user=account) for account in (NOVA, TENANT, NOVA)]
    tokens = [dict(request.headers)["X-Auth-Token"] for request in requests]
    assert 3 == len(set(tokens))
    assert all(keystone.accepts(token) for token in tokens)


def test_no_credentials_no_token(nova: Nova) -> None:
    """Without [vendordata_dynamic_auth] Nova sends the request without a token."""
    assert "X-Auth-Token" not in dict(nova.capture(INSTANCE, as_user=None).headers)


def test_the_body(nova: Nova) -> None:
    """The body is ASCII JSON with seven members, in this order."""
    assert (
        b'{"project-id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e", '
        b'"instance-id": "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0b", '
        b'"image-id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d", '
        b'"user-data": "I2Nsb3VkLWNvbmZpZwo=", '
        b'"hostname": "mail-1", '
        b'"metadata": {"tier": "gold"}, '
        b'"boot-roles": "member,reader"}'
    ) == nova.capture(INSTANCE).body


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("image_ref", "", ("image-id", "")),
        ("image_ref", None, ("image-id", None)),
        ("user_data", None, ("user-data", None)),
        ("hostname", None, ("hostname", None)),
        ("project_id", None, ("project-id", None)),
        ("metadata", {}, ("metadata", {})),
        ("metadata", {"ключ": "\U0001f4ee"}, ("metadata", {"ключ": "\U0001f4ee"})),
        ("system_metadata", {}, ("boot-roles", "")),
        ("system_metadata", {"boot_roles": ""}, ("boot-roles", "")),
        ("system_metadata", {"boot_roles": "Mail-Admin,member"}, ("boot-roles", "Mail-Admin,member")),
    ],
)
def test_odd_values(nova: Nova, field: str, value: Any, sent: tuple[str, Any]) -> None:
    """Empty and null values arrive as such; text that is not ASCII arrives escaped."""
    body = nova.capture({**INSTANCE, field: value}).body
    assert body.isascii()
    assert sent[1] == json.loads(body)[sent[0]]


def test_one_token_for_many_requests(nova: Nova, keystone: Keystone) -> None:
    """Nova calls two targets one after the other, in nova.conf's order, with the same token."""
    nova.capture(INSTANCE)
    before = keystone.requests("POST", "/v3/auth/tokens")
    with listening() as (url, requests):
        outcome = nova.vendordata(INSTANCE, [f"b@{url}/second", f"a@{url}/first"])
    assert {"value": {"b": {}, "a": {}}, "log": []} == outcome
    assert ["/second", "/first"] == [request.path for request in requests]
    assert before == keystone.requests("POST", "/v3/auth/tokens")


@pytest.mark.parametrize(
    ("fatal", "outcome"),
    [(False, {"value": {"mail": {}}}), (True, {"error": {"class": "ConnectFailure"}})],
)
def test_a_refused_connection(nova: Nova, fatal: bool, outcome: dict[str, Any]) -> None:
    """A refused connection is an empty answer, or an error when failures are fatal."""
    url = f"http://127.0.0.1:{free_port()}"
    result = nova.vendordata(INSTANCE, [f"mail@{url}/mailserver"], fatal=fatal)
    result.get("error", {}).pop("message", None)
    assert f"Error from dynamic vendordata service mail at {url}/mailserver" in result.pop("log")[-1]
    assert outcome == result
