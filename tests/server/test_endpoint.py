"""A request over a real socket: each way in, each way out, and always the request id."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.fixtures import House
from tests.support.serving import BODY, INSTANCE, JSON, error_of
from tests.support.waiting import wait_until

REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_nova_gets_the_handlers_answer(house: House) -> None:
    """A valid request is answered with the handler's JSON, made from Nova's body, its caller, its id and its peer."""
    response = house.server.ask("/echo", house.nova)
    assert (200, "application/json") == (response.status_code, response.headers["Content-Type"])
    assert {
        "instance": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d",
        "roles": ["member", "Mail-Admin"],
        "metadata": {},
        "extra": {},
        "caller": "service",
        "request_id": response.headers["X-Openstack-Request-Id"],
        "peer": "127.0.0.1",
    } == response.json()


def test_a_handler_without_async_is_answered(house: House) -> None:
    """A handler whose method is no coroutine runs in a thread and is answered the same."""
    assert b'{"greeting":"hello","hostname":"web-1"}' == house.server.ask("/plain", house.nova).content


def test_none_is_an_empty_object(house: House) -> None:
    """A handler that returns None is answered `{}`."""
    assert b"{}" == house.server.ask("/nothing", house.nova).content


def test_a_percent_encoded_path_is_decoded(house: House) -> None:
    """A percent-encoded path with a query reaches the handler of the decoded name."""
    assert 200 == house.server.ask("/%65cho?what=ever", house.nova).status_code


CALLERS = {
    "no token": (None, "the request has no X-Auth-Token"),
    "an empty token": ("", "the request has no X-Auth-Token"),
    "a malformed token": ("two words", "the X-Auth-Token is malformed"),
    "an unknown token": ("gAAAAAunknown", "the X-Auth-Token is not valid"),
}


@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere", "/echo?x"])
@pytest.mark.parametrize("name", CALLERS)
def test_a_caller_without_a_valid_token_gets_401(house: House, name: str, path: str) -> None:
    """A missing or invalid token is answered 401 with Keystone's address, whatever the path and the body."""
    token, message = CALLERS[name]
    response = house.server.ask(path, token, b"planted, and no JSON", {"Content-Type": "text/plain"})
    assert (401, "unauthorized", message) == error_of(response)
    assert 'Keystone uri="https://keystone.example:5000/v3"' == response.headers["WWW-Authenticate"]


def test_two_tokens_are_malformed(house: House) -> None:
    """A request with two X-Auth-Token headers is answered 401."""
    headers = [("X-Auth-Token", house.nova), ("X-Auth-Token", house.nova), *JSON.items()]
    response = house.server.client.post("/echo", content=BODY, headers=headers)
    assert (401, "unauthorized", "the X-Auth-Token is malformed") == error_of(response)


@pytest.mark.parametrize("name", ["X-Storage-Token", "X-Service-Token", "Authorization"])
def test_other_headers_are_not_tokens(house: House, name: str) -> None:
    """A token in any other header than X-Auth-Token is not used."""
    response = house.server.ask("/echo", None, headers={**JSON, name: house.nova})
    assert (401, "unauthorized", "the request has no X-Auth-Token") == error_of(response)


@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere"])
def test_a_caller_whom_the_policy_does_not_admit_gets_403(house: House, path: str) -> None:
    """A valid token whose owner may not ask is answered 403 before the body is parsed."""
    response = house.server.ask(path, house.tenant, b"planted, and no JSON", {"Content-Type": "text/plain"})
    assert (403, "forbidden", "the owner of the token may not ask for vendordata") == error_of(response)


@pytest.mark.parametrize("path", ["/nowhere", "/Echo", "/cloud-ini", "/-", "/echo%20", "/%E2%82%AC", "/%00", "/*"])
def test_an_unknown_handler_is_404(house: House, path: str) -> None:
    """A path that is not exactly the name of an enabled handler is answered 404."""
    response = house.server.ask(path, house.nova)
    assert (404, "not_found", "no handler of this name is enabled") == error_of(response)


@pytest.mark.parametrize("path", ["/echo/", "/echo/more", "//echo", "//", "/a%2Fb", "/-/", "/-/nowhere", "/plain/x"])
def test_deeper_paths_are_404(house: House, path: str) -> None:
    """A path of more than one segment is answered 404 and not redirected."""
    response = house.server.client.send(httpx.Request("POST", f"http://127.0.0.1:{house.server.port}{path}"))
    assert (404, "not_found", "nothing is served under this path") == error_of(response)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/echo", "/", "/nowhere"])
def test_other_methods_than_post_are_405(house: House, method: str, path: str) -> None:
    """Any other method than POST on a handler is answered 405 with Allow: POST."""
    response = house.server.client.request(method, path)
    assert (405, "POST") == (response.status_code, response.headers["Allow"])


def test_the_message_of_405(house: House) -> None:
    """A 405 has the shape of all errors."""
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
def test_a_handlers_failure_reaches_nova(house: House, path: str, status: int, code: str, message: str) -> None:
    """A handler's error is answered with its own status, code and message."""
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
def test_an_invalid_body_is_400(house: House, path: str, body: bytes, message: str) -> None:
    """A body that is not what Nova sends is answered 400 with the reason."""
    assert (400, "bad_request", message) == error_of(house.server.ask(path, house.nova, body))


def test_every_response_has_its_own_request_id(house: House) -> None:
    """Each response has a new request id in the form of OpenStack's services."""
    ids = [house.server.ask("/echo", house.nova).headers["X-Openstack-Request-Id"] for _ in range(2)]
    assert (True, True, False) == (*(bool(REQUEST_ID.fullmatch(each)) for each in ids), ids[0] == ids[1])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/-/live"), ("GET", "/-/ready"), ("GET", "/-/nowhere"), ("PUT", "/-/live")]
)
def test_the_servers_own_routes_have_request_ids(house: House, method: str, path: str) -> None:
    """Responses of the routes below /-/ have a request id too, also those that are errors."""
    assert REQUEST_ID.fullmatch(house.server.client.request(method, path).headers["X-Openstack-Request-Id"])


def test_a_clients_request_id_is_not_taken_over(house: House) -> None:
    """A request id that the client sends does not become the response's."""
    sent = "req-11111111-1111-1111-1111-111111111111"
    response = house.server.ask("/echo", house.nova, headers={**JSON, "X-Openstack-Request-Id": sent})
    assert sent != response.headers["X-Openstack-Request-Id"]


def test_an_answer_without_caching_is_not_to_be_stored(house: House) -> None:
    """The answer of a handler without ``cache_for`` says ``Cache-Control: no-store``, and carries no validator."""
    headers = house.server.ask("/nothing", house.nova).headers
    assert ("no-store", None, None) == (headers["Cache-Control"], headers.get("ETag"), headers.get("Age"))


def test_a_client_that_leaves_in_the_middle_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A client that closes the connection within the body leaves one log line."""
    caplog.set_level("INFO", "vendorsrv.access")
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {house.nova}\r\nContent-Type: application/json\r\n"
    with house.server.connect() as connection:
        connection.sendall(f'{head}Content-Length: 1000\r\n\r\n{{"inst'.encode())
    wait_until(lambda: "error='bad_request: the body was cut short'" in caplog.text)


def test_pipelined_requests_are_answered_in_order(house: House) -> None:
    """A request after one with a refused body is answered as the next one, in order."""
    refused = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
    live = b"GET /-/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with house.server.connect() as connection:
        connection.sendall(refused + live)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert [b"401", b"200"] == re.findall(rb"HTTP/1.1 (\d+)", received)
