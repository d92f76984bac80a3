"""Connections over real sockets: their limits, and the peer that a trusted proxy names before TLS or HTTP begins."""

from __future__ import annotations

import re
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.support.fixtures import House
from tests.support.scraping import scrape
from tests.support.serving import BODY, JSON, Server, free_port, running, serving, write_config
from tests.support.waiting import wait_until

#: The proxy that the servers of these tests trust, and a host that they do not know.
PROXY, HOST = "127.0.0.2", "127.0.0.3"
PEER = "192.0.2.1"
V1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 9090\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x12\x67\x23\x82"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


def connect(server: Server, source: str) -> socket.socket:
    """Open a connection from an address of this host."""
    connection = socket.create_connection(("127.0.0.1", server.port), 60, (source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(token: str) -> bytes:
    """Return a request of Nova that ends its connection."""
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Type: application/json\r\n"
    return f"{head}Connection: close\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


def everything(connection: socket.socket) -> bytes:
    """Return all that is sent until the connection ends, in whatever way."""
    received = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received.append(part)
    return b"".join(received)


def seen_peer(answer: bytes) -> str:
    """Return the peer in an answer of the echo handler."""
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
    return str(re.findall(r'"peer":"([^"]*)"', answer.decode())[0])


@pytest.fixture(scope="module")
def server(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts the proxy, and lets a peer have four connections."""
    options: dict[str, Any] = {
        "trusted_proxies": PROXY,
        "max_connections": 40,
        "max_connections_per_peer": 4,
        "body_timeout": 60,
    }
    folder = tmp_path_factory.mktemp("acceptor")
    with running(write_config(folder, house.keystone, request_timeout=60, **options)) as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client of the server with TLS trusts."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def tls(house: House, tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Server]:
    """The same server with TLS."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    options: dict[str, Any] = {"trusted_proxies": PROXY, "max_connections_per_peer": 4}
    files: dict[str, Any] = {"cert_file": folder / "cert.pem", "key_file": folder / "key.pem"}
    with running(write_config(folder, house.keystone, **options, **files)) as server:
        yield server


@pytest.mark.parametrize(("header", "peer"), [(V1, PEER), (V2, PEER), (LOCAL, PROXY), (b"", PROXY)])
def test_a_trusted_proxy_names_the_peer(house: House, server: Server, header: bytes, peer: str) -> None:
    """The peer is whom a header of either version names, or the proxy itself when it names nobody."""
    with connect(server, PROXY) as connection:
        connection.sendall(header + request(house.nova))
        assert peer == seen_peer(everything(connection))


@pytest.mark.parametrize("header", [V1, V2])
def test_a_header_may_come_in_pieces(house: House, server: Server, header: bytes) -> None:
    """A header whose bytes come one by one is read to its end, and not beyond."""
    with connect(server, PROXY) as connection:
        for number in range(len(header)):
            connection.sendall(header[number : number + 1])
        connection.sendall(request(house.nova))
        assert PEER == seen_peer(everything(connection))


@pytest.mark.parametrize("header", [V1, V2])
def test_a_header_of_a_stranger_is_a_bad_request(house: House, server: Server, header: bytes) -> None:
    """A header of the PROXY protocol from somebody who is not trusted is answered 400, and the connection is closed."""
    with connect(server, HOST) as connection:
        connection.sendall(header + request(house.nova))
        answer = everything(connection)
    assert (True, 1) == (answer.startswith(b"HTTP/1.1 400 "), answer.count(b"HTTP/1.1"))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(b"PROXY TCP4 nobody\r\n", "the line is malformed"), (V2[:20], "the header is cut short")],
)
def test_a_malformed_header_ends_the_connection(
    server: Server, caplog: pytest.LogCaptureFixture, sent: bytes, reason: str
) -> None:
    """A trusted proxy's malformed header ends its connection without an answer; the log names the proxy."""
    with connect(server, PROXY) as connection:
        connection.sendall(sent)
        with suppress(OSError):  # it may be closed already
            connection.shutdown(socket.SHUT_WR)
        assert b"" == everything(connection)
    line = f"closed a connection of the trusted proxy 127.0.0.2: PROXY protocol: {reason}"
    wait_until(lambda: line in caplog.text)


def test_a_health_check_that_sends_nothing_is_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A load balancer may connect and leave."""
    with connect(server, PROXY) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert b"" == everything(connection)
    assert "" == caplog.text


@pytest.mark.parametrize(
    "case",
    [(PROXY, V1, PEER), (PROXY, V2, PEER), (PROXY, b"", PROXY), (HOST, b"", HOST)],
)
@pytest.mark.parametrize("together", [False, True], ids=["apart", "together"])
def test_the_header_comes_before_tls(
    house: House, tls: Server, trusting: ssl.SSLContext, case: tuple[str, bytes, str], *, together: bool
) -> None:
    """With TLS a trusted proxy sends the header in clear before the handshake, or in one segment with its beginning."""
    source, header, peer = case
    with connect(tls, source) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, together)  # for 200 ms at most
        plain.sendall(header)
        with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(request(house.nova))
            assert peer == seen_peer(everything(connection))


def test_a_header_of_a_stranger_is_no_tls(tls: Server) -> None:
    """Before TLS a stranger's header is not believed either: it ends the connection."""
    with connect(tls, HOST) as connection:
        connection.sendall(V1)
        assert b"HTTP" not in everything(connection)


@pytest.mark.parametrize("name", ["server", "tls"])
def test_silent_connections_of_a_peer_make_room_for_its_next(request: pytest.FixtureRequest, name: str) -> None:
    """Of ten silent connections of one peer the last four stay open, with TLS too, and those of others all do."""
    server: Server = request.getfixturevalue(name)
    with ExitStack() as stack:
        others = [stack.enter_context(connect(server, f"127.0.1.{number}")) for number in range(1, 6)]
        silent = [stack.enter_context(connect(server, HOST)) for _ in range(10)]
        assert [b""] * 6 == [everything(each) for each in silent[:6]]
        for each in (*silent[6:], *others):
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(1)


def test_a_request_in_progress_is_not_closed_for_others(house: House, server: Server) -> None:
    """A peer whose connections all have a request in progress gets no further ones, and then its answers."""
    message = request(house.nova)
    with ExitStack() as stack:
        busy = [stack.enter_context(connect(server, HOST)) for _ in range(4)]
        for each in busy:
            each.sendall(message[:-1])
        wait_until(lambda: 4 == scrape(server.admin)["vendorsrv_requests_in_progress"])
        refused = [stack.enter_context(connect(server, HOST)) for _ in range(3)]
        assert [b""] * 3 == [everything(each) for each in refused]
        forwarded = stack.enter_context(connect(server, PROXY))
        forwarded.sendall(V1.replace(PEER.encode(), HOST.encode()))
        assert b"" == everything(forwarded)
        for each in busy:
            each.sendall(message[-1:])
        assert [HOST] * 4 == [seen_peer(everything(each)) for each in busy]


def test_a_kept_connection_is_idle_between_requests(house: House, server: Server) -> None:
    """A connection that is kept open after an answer is idle again, and makes room."""
    message = request(house.nova).replace(b"Connection: close\r\n", b"")
    with ExitStack() as stack:
        kept = stack.enter_context(connect(server, HOST))
        kept.sendall(message)
        assert b"HTTP/1.1 200 " == kept.recv(13)
        for _ in range(4):
            stack.enter_context(connect(server, HOST))
        assert everything(kept).endswith(b"}")


def test_who_is_refused_over_tls_reads_why(tls: Server, trusting: ssl.SSLContext) -> None:
    """The answer is there for a client that sends more of its body, and the connection ends."""
    with trusting.wrap_socket(connect(tls, HOST), server_hostname="127.0.0.1") as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        answer = connection.recv(65536)
        connection.sendall(b"a" * 50000)
        assert b"HTTP/1.1 401 " == (answer + everything(connection))[:13]


def test_a_server_without_files_accepts_again_when_there_are_some(house: House, tmp_path: Path) -> None:
    """When the system refuses a file, the log says so, and the server goes on as soon as files are free."""
    port = free_port()
    with serving(write_config(tmp_path, house.keystone, port=port), port, files=(48, 48)) as process:
        process.wait_until_answers()
        with ExitStack() as stack:
            for _ in range(48):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            process.wait_for("cannot accept connections: Too many open files")
        process.wait_until_answers()


def test_silent_strangers_do_not_cost_nova_an_answer(house: House, tmp_path: Path) -> None:
    """With 1,100 silent connections of five hosts to a worker with 1,024 files, each request of Nova is answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    port, admin_port = free_port(), free_port()
    config = write_config(tmp_path, house.keystone, port=port, admin_port=admin_port)
    headers = {**JSON, "X-Auth-Token": house.nova}
    try:
        with (
            serving(config, port, files=(512, 1024)) as process,
            ExitStack() as stack,
        ):
            process.wait_until_answers()
            kept = stack.enter_context(process.client())
            statuses = []
            for number in range(1100):
                source = (f"127.0.2.{number % 5 + 1}", 0)
                stack.enter_context(socket.create_connection(("127.0.0.1", port), 60, source))
                if number % 100 == 99:
                    with process.client() as new:
                        answers = [each.post("/echo", content=BODY, headers=headers) for each in (kept, new)]
                    statuses += [each.status_code for each in answers]
            text = httpx.get(f"http://127.0.0.1:{admin_port}/-/metrics", timeout=60).text
            process.wait_for("since max_connections is 768")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [200] * 22 == statuses
    assert re.search(r'vendorsrv_connections_refused_total\{limit="worker"\} [1-9]', text)


def test_connections_that_are_closed_while_they_are_accepted_leave_nothing(house: House, tmp_path: Path) -> None:
    """Of connections that make room for others before they are set up, the server keeps none."""
    with running(write_config(tmp_path, house.keystone, max_connections_per_peer=4)) as server:
        for _ in range(1000):
            connect(server, HOST).close()
        wait_until(lambda: server.uvicorn.idle_connections() == 0)
