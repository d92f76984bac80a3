"""What one connection may send, and for how long, over real sockets."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import House
from tests.support.scraping import of, scrape
from tests.support.serving import BODY, Server, running, write_config
from tests.support.waiting import wait_until
from vendorsrv.server import protocol

LIVE: Final = b"GET /-/live HTTP/1.1\r\nHost: here\r\n"
#: What the tests replace by Nova's token.
TOKEN: Final = b"X-TOKEN"
POST: Final = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nX-Auth-Token: X-TOKEN\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % len(BODY)
END: Final = b"\r\n"
LAST: Final = b"Connection: close\r\n\r\n"
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSING: Final = POST + b"Transfer-Encoding: chunked\r\n" + LAST
NO_HTTP: Final = ("http/1.1 400", "bad_request", "the request is not valid HTTP")
TOO_LONG: Final = (
    "http/1.1 414",
    "url_too_long",
    "the request's first line has more than 32768 bytes",
)
TOO_LARGE: Final = (
    "http/1.1 431",
    "head_too_large",
    "the request's head has more than 32768 bytes",
)
FRAMES: Final = (*TOO_LARGE[:2], "the body's trailers, or what frames its chunks, are too long")
#: The bytes that a head may have.
MOST: Final = 32768


def received(connection: socket.socket) -> bytes:
    """Everything that the server sends until it ends the connection."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def exchange(server: Server, *parts: bytes) -> bytes:
    """Send one part after the other, and return all that the server sends."""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        return received(connection)


def ports(server: Server) -> set[int]:
    """Return the clients' ports of the connections that a server has."""
    connections: set[Any] = {*server.uvicorn.server_state.connections}
    return {each.client[1] for each in connections}


def refusal(answer: bytes) -> tuple[str, str, str]:
    """Return status, code and message of the only response, which must end the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().lower().split("\r\n")
    error = json.loads(body)["error"]
    assert 1 == answer.count(b"HTTP/1.1 ")
    assert {
        "connection: close",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"x-openstack-request-id: {error['request_id']}",
    } <= set(headers)
    return status[:12], error["code"], error["message"]


HEADS: Final = {
    "a header without end": (POST + b"X-A: " + b"a" * MOST, TOO_LARGE),
    "headers without end": (POST + b"X-A: b\r\n" * 5000, TOO_LARGE),
    "a URL without end": (b"POST /" + b"a" * MOST, TOO_LONG),
    "a whole head": (LIVE + b"X-A: " + b"a" * MOST + b"\r\n\r\n", TOO_LARGE),
    "a whole URL": (b"GET /" + b"a" * MOST + b" HTTP/1.1\r\n\r\n", TOO_LONG),
    "trailers without end": (CHUNKED + b"0\r\n" + b"X-A: b\r\n" * 5000, FRAMES),
    "the extension of a chunk without end": (CHUNKED + b"1;" + b"a" * 40000, FRAMES),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", NO_HTTP),
    "a header without a colon": (b"GET / HTTP/1.1\r\nno header\r\n\r\n", NO_HTTP),
    "a path that is not ASCII": (b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n", NO_HTTP),
    "a chunk without a size": (CHUNKED + b"no chunk\r\n", NO_HTTP),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_can_be_no_request_is_refused_at_once(house: House, name: str) -> None:
    """More than 32 KiB of head, trailers or framing, and what is no HTTP, get one answer, and the connection ends."""
    sent, said = HEADS[name]
    assert said == refusal(exchange(house.server, sent.replace(TOKEN, house.nova.encode())))


@pytest.mark.parametrize(("size", "status"), [(MOST, b"200"), (MOST + 1, b"431")])
def test_a_head_may_have_32_kib(house: House, size: int, status: bytes) -> None:
    """A head of 32,768 bytes is answered, and one of a byte more refused, whether it comes at once or in pieces."""
    head = LIVE + b"Connection: close\r\nX-A: "
    head += b"a" * (size - len(head) - 4) + b"\r\n\r\n"
    for parts in ([head], [head[:100], head[100:200], head[200:-1], head[-1:]]):
        assert status == exchange(house.server, *parts)[9:12]


def test_a_request_may_come_byte_by_byte(house: House) -> None:
    """Each byte in a packet of its own, after empty lines, in chunks of one byte and with a trailer: it is answered."""
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\nX-Auth-Token: trailer\r\n\r\n"
    sent = CLOSING.replace(TOKEN, house.nova.encode()) + chunks
    answer = exchange(house.server, b"\r\n", b"\r\n", *(b"%c" % byte for byte in sent))
    assert (b"200", 1) == (answer[9:12], answer.count(b'"instance":"7b5a4a34'))


def test_large_chunks_leave_the_loop_to_others(house: House) -> None:
    """A body in chunks of one byte is parsed in steps, between which other requests are answered."""
    chunks = b"1\r\n \r\n" * 3000 + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    answer = exchange(house.server, CLOSING.replace(TOKEN, house.nova.encode()) + chunks)
    assert (b"200", 1) == (answer[9:12], answer.count(b'"instance":"7b5a4a34'))


@pytest.mark.parametrize(
    ("requests", "statuses"),
    [
        ([LIVE + END] * 3 + [LIVE + LAST], [b"200"] * 4),
        ([POST + LENGTH + END + BODY] * 2 + [LIVE + LAST], [b"200", b"200", b"200"]),
        ([POST + LENGTH + END + BODY, b"no request" + END], [b"200", b"400"]),
        ([LIVE + LAST, LIVE + END], [b"200"]),
        ([CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), LIVE + END], [b"200"]),
        ([CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), b"no request" + END], [b"200"]),
        ([CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), b"GET / HT"], [b"200"]),
        ([LIVE + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", LIVE + END], [b"200"]),
        ([LIVE + END] * 5000 + [LIVE + LAST], [b"200"] * 5001),
    ],
    ids=[
        "without body",
        "with bodies",
        "no request",
        "behind the last",
        "behind chunks",
        "garbage",
        "a part",
        "upgrade",
        "many",
    ],
)
def test_a_request_is_parsed_when_the_one_before_is_answered(
    house: House, requests: list[bytes], statuses: list[bytes]
) -> None:
    """Pipelined requests are answered in order; what follows a last one or a chunked one is not answered."""
    answer = exchange(house.server, b"".join(requests).replace(TOKEN, house.nova.encode()))
    assert statuses == [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("sent", [b"", BODY[:10], b"a" * 2**19], ids=["nothing", "a part", "half a megabyte"])
def test_who_is_refused_before_the_end_of_the_body_reads_why(house: House, sent: bytes) -> None:
    """The answer is there for a client that sends on, and that the connection ends; more is not read as a request."""
    with house.server.connect() as connection:
        connection.sendall(POST.replace(TOKEN, b"") + b"Content-Length: 1000000\r\n\r\n")
        wait_until(lambda: connection.recv(1, socket.MSG_PEEK))
        connection.sendall(sent)
        answer = received(connection)
    assert (b"401", 1) == (answer[9:12], answer.lower().count(b"connection: close\r\n"))


def test_who_is_refused_and_goes_on_is_cut_off(house: House) -> None:
    """A client that sends on for ever is read for a second or a megabyte at most."""
    sent = 0
    with house.server.connect() as connection, suppress(ConnectionError):
        connection.sendall(CHUNKED.replace(TOKEN, b"") + b"1\r\na\r\n" * 10_000)
        while sent < 2**26:
            sent += connection.send(b"1\r\na\r\n" * 10_000)
    assert sent < 2**26


def test_who_is_refused_and_stays_is_cut_off(house: House) -> None:
    """A connection that its client leaves open is closed about a second after the refusal."""
    with house.server.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1000000\r\n\r\n")
        assert received(connection)
        wait_until(lambda: connection.getsockname()[1] not in ports(house.server))


def test_a_body_that_nobody_reads_yet_is_held_back(tmp_path: Path, fake: FakeKeystone) -> None:
    """While Keystone is asked about a token, of a body in chunks half a megabyte is taken at most."""
    fake.strangers_go_on.clear()
    chunks = b"400\r\n" + b"a" * 1024 + b"\r\n"
    options: dict[str, Any] = {"request_timeout": 60, "auth_timeout": 50}
    with running(write_config(tmp_path, fake, **options)) as server:
        connections: Any = server.uvicorn.server_state.connections
        with server.connect() as connection, suppress(TimeoutError):
            connection.sendall(CHUNKED.replace(TOKEN, b"gAAAAAstranger"))
            connection.settimeout(1)
            while True:
                connection.sendall(chunks * 1024)
                assert max((len(each.cycle.body) for each in connections if each.cycle), default=0) < 2**19
        fake.strangers_go_on.set()


def test_who_sends_no_head_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection ends that is silent from its start, or whose head or next head does not come whole."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.1)
    assert [b"", b""] == [exchange(house.server, part) for part in (b"", LIVE)]
    assert b"200" == exchange(house.server, LIVE + END + LIVE)[9:12]


def test_a_connection_may_rest_between_requests(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a response it is kept open for uvicorn's timeout_keep_alive."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.1)
    with house.server.connect() as connection:
        connection.sendall(LIVE + END)
        assert connection.recv(65536)
        time.sleep(2.5)
        connection.sendall(LIVE + END)
        assert connection.recv(65536)
    monkeypatch.setattr(house.server.uvicorn.config, "timeout_keep_alive", 0.1)
    assert b"200" == exchange(house.server, LIVE + END)[9:12]


def test_who_does_not_read_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection ends whose client takes nothing of the response that it has asked for."""
    monkeypatch.setattr(protocol, "WRITE_TIMEOUT", 1.5)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", house.server.admin_port))
        port = connection.getsockname()[1]
        connection.sendall(b"GET /-/docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n" * 8)
        wait_until(lambda: port in ports(house.server))
        wait_until(lambda: port not in ports(house.server))


def test_refusals_are_logged_and_counted(tmp_path: Path, fake: FakeKeystone, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the peer once a second, and the metrics count each refusal as one of another path."""
    with running(write_config(tmp_path, fake)) as server:
        for _ in range(3):
            exchange(server, b"GET /" + b"a" * MOST)
        assert {'requests_total{code="url_too_long",path="other",status="414"}': 3.0} == of(
            scrape(server.admin), "requests_total"
        )
    line = "answered 414 to 127.0.0.1 and closed the connection: the request's first line has more than 32768 bytes; "
    assert caplog.messages[-1].startswith(line) or 0 < caplog.text.count(line) < 4
