"""The limits of a body: its declared type, its size and its time."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.serving import BODY, error_of, running, write_config


def head(house: House, *lines: str) -> bytes:
    """The head of a request of Nova's, with some lines more."""
    fixed = ("POST /echo HTTP/1.1", "Host: x", f"X-Auth-Token: {house.nova}", "Content-Type: application/json")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that waits for a body for 0.3 seconds."""
    with FakeKeystone() as keystone:
        config = write_config(tmp_path_factory.mktemp("impatient"), keystone, body_timeout=0.3)
        with running(config) as server:
            yield House(server, keystone, keystone.issue("service"), "")


def received(connection: socket.socket) -> bytes:
    """Everything that the server sends until it closes the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; charset=utf8; profile=nova",
    ],
)
def test_json_in_utf_8_is_accepted(house: House, content_type: str) -> None:
    """Every spelling of JSON in UTF-8 is accepted as Content-Type."""
    assert 200 == house.server.ask("/echo", house.nova, headers={"Content-Type": content_type}).status_code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "application/json, application/json"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; charset=utf-8; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_other_media_types_are_415(house: House, headers: dict[str, str]) -> None:
    """Another media type, charset or encoding is answered 415."""
    response = house.server.ask("/echo", house.nova, headers=headers)
    assert (415, "unsupported_media_type", "the body must be application/json in UTF-8, not encoded") == error_of(
        response
    )


def test_a_body_of_the_maximum_size_is_accepted(house: House) -> None:
    """A body of max_body_bytes bytes, white space included, is accepted."""
    assert 200 == house.server.ask("/echo", house.nova, BODY + b" " * (4096 - len(BODY))).status_code


@pytest.mark.parametrize("size", [4097, 10_000, 5_000_000])
def test_a_declared_length_over_the_maximum_is_413(house: House, size: int) -> None:
    """A Content-Length over max_body_bytes is answered 413 before the body comes."""
    with house.server.connect() as connection:
        connection.sendall(head(house, f"Content-Length: {size}"))
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert (
        b'"code": "body_too_large", "title": "Content Too Large", "message": "the body has more than 4096 bytes"'
        in (answer)
    )


def test_a_chunked_body_over_the_maximum_is_413(house: House) -> None:
    """A chunked body is answered 413 as soon as it exceeds max_body_bytes."""
    with house.server.connect() as connection:
        connection.sendall(head(house, "Transfer-Encoding: chunked") + b"1001\r\n" + b" " * 4097 + b"\r\n")
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer


def test_a_chunked_body_within_the_maximum_is_accepted(house: House) -> None:
    """A chunked body of any number of pieces is accepted up to max_body_bytes."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(BODY), 10):
            yield BODY[start : start + 10]

    headers = {"Content-Type": "application/json", "X-Auth-Token": house.nova}
    assert 200 == house.server.client.post("/echo", content=pieces(), headers=headers).status_code


@pytest.mark.parametrize(
    "lines",
    [("Content-Length: 100",), ("Transfer-Encoding: chunked",), ("Content-Length: 100", "Expect: 100-continue")],
    ids=str,
)
def test_a_body_that_does_not_come_is_408(impatient: House, lines: tuple[str, ...]) -> None:
    """A body that does not come within body_timeout is answered 408, and the connection is closed."""
    with impatient.server.connect() as connection:
        connection.sendall(head(impatient, *lines))
        answer = received(connection)
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close\r\n" in answer
    assert b'"code": "body_timeout", "title": "Request Timeout", "message": "the body came too slowly"' in answer


def test_a_slow_body_is_408(impatient: House) -> None:
    """body_timeout is for the whole body, not for each piece."""
    with impatient.server.connect() as connection:
        connection.sendall(head(impatient, "Content-Length: 4000"))
        connection.settimeout(0.02)
        for _ in range(3000):
            with contextlib.suppress(TimeoutError):
                if answer := connection.recv(65536):
                    break
            connection.sendall(b" ")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_the_body_of_an_invalid_token_is_not_awaited(house: House) -> None:
    """A request without a valid token is answered 401 before its body comes."""
    with house.server.connect() as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\nConnection: close\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("lines", [("Content-Length: -1",), ("Content-Length: x",), ("Content-Length: 5, 6",)], ids=str)
def test_a_length_that_is_not_a_number_is_400(house: House, lines: tuple[str, ...]) -> None:
    """A Content-Length that is not a number is answered 400."""
    with house.server.connect() as connection:
        connection.sendall(head(house, *lines))
        assert received(connection).startswith(b"HTTP/1.1 400 ")
