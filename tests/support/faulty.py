"""A vendordata server that does everything right, but for the one fault that it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from vendorsrv.testing.misbehaviour import Behaviour

NOVA: Final = "gAAAAABnova-token"
TENANT: Final = "gAAAAABtenant-token"
JSON: Final = {"Content-Type": "application/json"}
#: For all servers of a test run; six calls at once and those that wait find a place.
THREADS: Final = ThreadPoolExecutor(16)
ALWAYS: Final = {"X-Openstack-Request-Id": "req-1"}


class Asked(NamedTuple):
    """One request as it arrived.

    :ivar nth: which one it is on its connection, from 1.
    """

    method: str
    token: str | None
    body: bytes
    nth: int

    @property
    def payload(self) -> Any:
        """The body as JSON.

        :raises ValueError: it is none.
        """
        return json.loads(self.body)

    @property
    def may(self) -> bool:
        """Whether it is Nova's."""
        return self.token == NOVA

    @property
    def good(self) -> bool:
        """Whether it is Nova's, and such as Nova sends."""
        return self.may and self.method == "POST" and refusal(self) is None


class Reply(NamedTuple):
    """What is answered; the length is added."""

    status: int
    body: bytes | str = b""
    headers: Mapping[str, str] = JSON


#: What is answered in place of the good reply, which is given; the bytes of a whole response are sent by a Behaviour.
Fault = Callable[[Asked, Reply], Reply | Behaviour]


def error(status: int, message: str = "no", **headers: str) -> Reply:
    """Return an error in the form that Nova can read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"error": {"message": message}}), JSON | named)


def refusal(asked: Asked) -> Reply | None:
    """Return what is wrong with a body, if anything is."""
    try:
        payload = asked.payload
    except ValueError:
        return error(400, "it is not JSON")
    if not isinstance(payload, dict) or not isinstance(payload.get("instance-id"), str):
        return error(400, "it is not what Nova sends")
    return None


def well(asked: Asked) -> Reply:
    """Answer as a good server does."""
    if asked.token == TENANT:
        return error(403, "you may not ask")
    if not asked.may:
        return error(401, "who are you", WWW_Authenticate="Keystone uri='https://keystone.example:5000'")
    if asked.method != "POST":
        return error(405, "post it", Allow="POST")
    return refusal(asked) or Reply(200, json.dumps({"role": "mail-server", "made-for": asked.payload["instance-id"]}))


class Calls(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment
    requests = 0
    server: Listening

    def do_POST(self) -> None:
        """Answer well, or as the fault has it."""
        self.requests += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked = Asked(self.command, self.headers.get("X-Auth-Token"), body, self.requests)
        reply = self.server.fault(asked, well(asked))
        if isinstance(reply, Reply):
            self.give(reply)
        else:
            self.close_connection = True
            reply(self.send_at_once, self.server.over.wait)

    do_GET = do_POST  # noqa: N815  http.server's name

    def send_at_once(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.wfile.write(data)
        self.wfile.flush()

    def give(self, reply: Reply) -> None:
        """Send a whole response."""
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        self.send_response_only(reply.status)
        lengths = {} if reply.status == 204 else {"Content-Length": str(len(body))}
        for name, value in {**ALWAYS, **reply.headers, **lengths}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Listening(ThreadingHTTPServer):
    """Serves with one fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Calls)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in one of the threads that there are.

        coverage's tracer for greenlets can hang when a thread ends (CPython 3.11), and these would be thousands.
        """
        THREADS.submit(self.process_request_thread, request, client_address)

    def handle_error(self, *_: object) -> None:
        """Clients that gave up are no error here."""


@contextmanager
def serving(fault: Fault = lambda _, usual: usual) -> Iterator[str]:
    """Run it on a free loopback port, and return its URL."""
    with Listening(fault) as server:
        served = THREADS.submit(server.serve_forever, 0.01)
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.over.set()
            server.shutdown()
            served.result()
