"""A request over a real socket: each way in, each way out, and always the request id."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.fixtures import House
from tests.support.serving import BODY, INSTANCE, JSON, error_of
from tests.support.waiting import wait_until

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_nova_gets_the_handler_s_answer(house: House) -> None:
    """With what Nova said of the instance, who called, and the request's id."""
    response = house.server.ask("/echo", house.nova)
    assert (200, "application/json") == (response.status_code, response.headers["Content-Type"])
    assert {
        "instance": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d",
        "roles": ["member", "Mail-Admin"],
        "metadata": {},
        "extra": {},
        "caller": "service",
        "request_id": response.headers["X-Openstack-Request-Id"],
    } == response.json()


def test_a_plain_handler_answers_too(house: House) -> None:
    """From a thread, with its default options."""
    assert b'{"greeting":"hello","hostname":"web-1"}' == house.server.ask("/plain", house.nova).content


def test_none_is_an_empty_object(house: House) -> None:
    """Nova's own word for nothing."""
    assert b"{}" == house.server.ask("/nothing", house.nova).content


def test_a_percent_sign_changes_nothing(house: House) -> None:
    """The path is what it means, as in HTTP."""
    assert 200 == house.server.ask("/%65cho?what=ever", house.nova).status_code


CALLERS = {
    "no token": (None, "the request has no X-Auth-Token"),
    "an empty token": ("", "the request has no X-Auth-Token"),
    "a malformed token": ("two words", "the X-Auth-Token is malformed"),
    "an unknown token": ("gAAAAAunknown", "the X-Auth-Token is not valid"),
}


@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere", "/echo?x"])
@pytest.mark.parametrize("name", CALLERS)
def test_a_stranger_gets_401_and_the_way_to_keystone(house: House, name: str, path: str) -> None:
    """Whatever is asked for, before it is looked at."""
    token, message = CALLERS[name]
    response = house.server.ask(path, token, b"planted, and no JSON", {"Content-Type": "text/plain"})
    assert (401, "unauthorized", message) == error_of(response)
    assert 'Keystone uri="https://keystone.example:5000/v3"' == response.headers["WWW-Authenticate"]


def test_two_tokens_are_none(house: House) -> None:
    """Which of them counts is not for a proxy to choose."""
    headers = [("X-Auth-Token", house.nova), ("X-Auth-Token", house.nova), *JSON.items()]
    response = house.server.client.post("/echo", content=BODY, headers=headers)
    assert (401, "unauthorized", "the X-Auth-Token is malformed") == error_of(response)


@pytest.mark.parametrize("name", ["X-Storage-Token", "X-Service-Token", "Authorization"])
def test_other_headers_are_no_token(house: House, name: str) -> None:
    """The middleware takes some of them for one."""
    response = house.server.ask("/echo", None, headers={**JSON, name: house.nova})
    assert (401, "unauthorized", "the request has no X-Auth-Token") == error_of(response)


@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere"])
def test_a_tenant_gets_403(house: House, path: str) -> None:
    """A valid token, whose owner may not ask; before the body is parsed."""
    response = house.server.ask(path, house.tenant, b"planted, and no JSON", {"Content-Type": "text/plain"})
    assert (403, "forbidden", "the owner of the token may not ask for vendordata") == error_of(response)


@pytest.mark.parametrize("path", ["/nowhere", "/Echo", "/cloud-ini", "/-", "/echo%20", "/%E2%82%AC", "/%00", "/*"])
def test_what_is_not_served_is_404(house: House, path: str) -> None:
    """A name that is not enabled, in whatever spelling."""
    response = house.server.ask(path, house.nova)
    assert (404, "not_found", "no handler of this name is enabled") == error_of(response)


@pytest.mark.parametrize("path", ["/echo/", "/echo/more", "//echo", "//", "/a%2Fb", "/-/", "/-/nowhere", "/plain/x"])
def test_deeper_paths_are_404(house: House, path: str) -> None:
    """And none of them is redirected to a shorter one."""
    response = house.server.client.send(httpx.Request("POST", f"http://127.0.0.1:{house.server.port}{path}"))
    assert (404, "not_found", "nothing is served under this path") == error_of(response)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere"])
def test_handlers_are_asked_by_post(house: House, method: str, path: str) -> None:
    """405 says so, to everybody."""
    response = house.server.client.request(method, path)
    assert (405, "POST") == (response.status_code, response.headers["Allow"])


def test_the_message_of_405(house: House) -> None:
    """In the shape of all errors."""
    assert (405, "method_not_allowed", "vendordata requests must use POST") == error_of(
        house.server.client.get("/echo")
    )


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/raising", 500, "handler_failed", "handler raising failed"),
        ("/away", 503, "unavailable", "the address store is being upgraded"),
        ("/slow", 504, "handler_timeout", "handler slow gave no answer within 0.1 seconds"),
        (
            "/odd",
            500,
            "bad_answer",
            "the answer of handler odd domains[0].names is of type set, which is not JSON",
        ),
    ],
)
def test_a_handler_s_failure_reaches_nova(house: House, path: str, status: int, code: str, message: str) -> None:
    """With its own status, and one plain sentence."""
    assert (status, code, message) == error_of(house.server.ask(path, house.nova))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; Nova posts a JSON object"),
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        (b"[1]", "the body must be an object"),
        (b"{}", "instance-id is missing"),
        (BODY.replace(b'"web-1"', b"NaN"), "the body has NaN, which is not JSON"),
        (BODY.replace(b'"web-1"', b'"web\\n1"'), "hostname must not hold control characters"),
        (BODY.replace(b'"web-1"', b'"\\udc80"'), "the body hostname has a lone surrogate, which is not Unicode text"),
        (BODY.replace(b'"hostname"', b'"instance-id"'), "the body has the member instance-id more than once"),
        (
            BODY.replace(INSTANCE.encode(), b"../../etc"),
            "instance-id must be a UUID in its canonical form (lower case, with hyphens)",
        ),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "the body is nested deeper than 64 levels"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere"])
def test_bad_input_is_400(house: House, path: str, body: bytes, message: str) -> None:
    """With one clear message, whoever is asked."""
    assert (400, "bad_request", message) == error_of(house.server.ask(path, house.nova, body))


def test_every_response_has_an_id_of_its_own(house: House) -> None:
    """Two requests, two ids, of the form that OpenStack's services use."""
    ids = [house.server.ask("/echo", house.nova).headers["X-Openstack-Request-Id"] for _ in range(2)]
    assert (True, True, False) == (*(bool(REQUEST_ID.fullmatch(each)) for each in ids), ids[0] == ids[1])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/-/live"), ("GET", "/-/ready"), ("GET", "/-/nowhere"), ("PUT", "/-/live")]
)
def test_the_server_s_own_routes_have_ids_as_well(house: House, method: str, path: str) -> None:
    """The framework's answers are no exception."""
    assert REQUEST_ID.fullmatch(house.server.client.request(method, path).headers["X-Openstack-Request-Id"])


def test_the_id_is_ours_whatever_the_client_sends(house: House) -> None:
    """What comes in is the global id, for the log alone."""
    sent = "req-11111111-1111-1111-1111-111111111111"
    response = house.server.ask("/echo", house.nova, headers={**JSON, "X-Openstack-Request-Id": sent})
    assert sent != response.headers["X-Openstack-Request-Id"]


def test_an_answer_without_caching_is_not_to_be_stored(house: House) -> None:
    """The answer of a handler without ``cache_for`` says ``Cache-Control: no-store``, and carries no validator."""
    headers = house.server.ask("/nothing", house.nova).headers
    assert ("no-store", None, None) == (headers["Cache-Control"], headers.get("ETag"), headers.get("Age"))


def test_a_client_that_leaves_in_the_middle_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """As one line; nothing is left waiting for the rest."""
    caplog.set_level("INFO", "vendorsrv.access")
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {house.nova}\r\nContent-Type: application/json\r\n"
    with house.server.connect() as connection:
        connection.sendall(f'{head}Content-Length: 1000\r\n\r\n{{"inst'.encode())
    wait_until(lambda: "error='bad_request: the body was cut short'" in caplog.text)


def test_a_client_that_pipelines_gets_its_answers_in_order(house: House) -> None:
    """What comes after a refused body is the next request, and not taken for a part of it."""
    refused = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
    live = b"GET /-/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with house.server.connect() as connection:
        connection.sendall(refused + live)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [b"401", b"200"] == re.findall(rb"HTTP/1.1 (\d+)", received)
