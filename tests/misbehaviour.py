"""A vendordata server that answers in every way that Nova meets, and what Nova 34 makes of each answer.

The values are literals, and two tests hold to them: that ``vendorsrv call`` gives them, and that Nova's own class does.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from vendorsrv.call import Limits, Result, Target, ask
from vendorsrv.credentials import anonymous
from vendorsrv.payload import build_payload


class Received(NamedTuple):
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


#: Answers one request: gets a function that sends bytes, and one that waits for seconds or until the test is over.
Behaviour = Callable[[Callable[[bytes], object], Callable[[float], object]], object]


class Peer:
    """A server on a free loopback port that answers a POST as ``routes`` says for its path, and then hangs up."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Behaviour] = {}
        self.received: list[Received] = []
        self.over = threading.Event()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                peer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Note a request and let its route answer; a client that gave up is no error."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        self.received.append(Received(handler.path, dict(handler.headers.items()), body))
        with contextlib.suppress(ConnectionError):
            self.routes[handler.path](handler.wfile.write, self.over.wait)


def raw(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """A whole response as it stands on the wire; ``_`` in a header's name is a hyphen."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(data)}"]
    lines += ["Connection: close"]  # else the client's next request races with our hanging up
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def sends(response: bytes) -> Behaviour:
    """Answer with these bytes, and hang up."""
    return lambda send, _: send(response)


def drips(response: bytes, seconds: float) -> Behaviour:
    """Answer byte by byte, with a pause of this many seconds before each of the last five."""

    def behave(send: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
        send(response[:-5])
        for position in range(-5, 0):
            wait(seconds)
            send(response[position:][:1])

    return behave


def silent(_: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
    """Accept the request and never answer."""
    wait(20)


def hangs_up(_: Callable[[bytes], object], __: Callable[[float], object]) -> None:
    """Close the connection without an answer."""


class Case(NamedTuple):
    """One behaviour, and what Nova makes of it.

    :ivar value: what stands under the target's name with ``vendordata_dynamic_failure_fatal`` off.
    :ivar raises: the class that Nova raises with it on, or None.
    :ivar always: Nova raises that with it off, too, and there is no value.
    """

    behaviour: Behaviour
    value: Any = None
    raises: str | None = None
    always: bool = False


def body(text: bytes | str, status: int = 200, content_type: str = "application/json", **headers: str) -> Behaviour:
    """Answer with this body."""
    return sends(raw(status, text, content_type, **headers))


def error(status: int, raises: str) -> Case:
    """An error status as a server of ours has it."""
    return Case(body(json.dumps({"error": {"message": "no such rack"}}), status), {}, raises)


#: Keystone's way to ask for a second factor, which keystoneauth1 looks for in every 401.
RECEIPT = (
    '{"receipt": {"methods": ["password"], "expires_at": "2030-01-01T00:00:00.000000Z"}, '
    '"required_auth_methods": [["password", "totp"]]}'
)

KEPT = {
    "object": Case(body('{"role": "mail-server"}'), {"role": "mail-server"}),
    "created": Case(body('{"a": 1}', 201), {"a": 1}),
    "accepted": Case(body('{"a": 1}', 202), {"a": 1}),
    "list": Case(body("[1, [2]]"), [1, [2]]),
    "string": Case(body('"#cloud-config"'), "#cloud-config"),
    "number": Case(body("17"), 17),
    "true": Case(body("true"), True),
    "null": Case(body("null"), None),
    "no content": Case(sends(b"HTTP/1.1 204 No Content\r\n\r\n"), {}),
    "empty body": Case(body(""), {}),
    "not modified": Case(sends(b"HTTP/1.1 304 Not Modified\r\n\r\n"), {}),
    "latin-1": Case(body('"M\u00fcller"', content_type="text/plain"), "M\u00c3\u00bcller"),
    "utf-8 text": Case(body('"M\u00fcller"', content_type="text/plain; charset=utf-8"), "M\u00fcller"),
    "true latin-1": Case(body(b'"M\xfcller"', content_type="text/plain"), "M\u00fcller"),
    "no utf-8": Case(body(b'"M\xfcller"'), "M\ufffdller"),
    "300": Case(body('{"a": 300}', 300), {"a": 300}),
    "302 without location": Case(body('{"a": 302}', 302), {"a": 302}),
    "dripping": Case(drips(raw(200, '{"a": "slow"}'), 0.15), {"a": "slow"}),
    "5 MB": Case(body('"' + "x" * 5 * 2**20 + '"'), "x" * 5 * 2**20),
    "chunked": Case(
        sends(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'), {"a": 1}
    ),
    "gzip": Case(body(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip"), {"a": 1}),
    "duplicate names": Case(body('{"a": 1, "a": 2}'), {"a": 2}),
    "lone surrogate": Case(body('"\\ud800"'), "\ud800"),
    "infinity": Case(body("[Infinity]"), [float("inf")]),
    "out of range": Case(body("1e999"), float("inf")),
}

DROPPED = {
    "html": Case(body("<html></html>", content_type="text/html"), {}, "JSONDecodeError"),
    "white space": Case(body(" \n"), {}, "JSONDecodeError"),
    "byte order mark": Case(body('\ufeff{"a": 1}'), {}, "JSONDecodeError"),
    "cloud-config": Case(body("#cloud-config\nruncmd: []"), {}, "JSONDecodeError"),
    "long number": Case(body("9" * 5000), {}, "ValueError"),
    "deep": Case(body("[" * 100_000 + "]" * 100_000), None, "RecursionError", always=True),
    "400": error(400, "BadRequest"),
    "401": error(401, "Unauthorized"),
    "403": error(403, "Forbidden"),
    "404": error(404, "NotFound"),
    "405": error(405, "MethodNotAllowed"),
    "409": error(409, "Conflict"),
    "413": error(413, "RequestEntityTooLarge"),
    "422": error(422, "UnprocessableEntity"),
    "429": error(429, "TooManyRequests"),
    "499": error(499, "HTTPClientError"),
    "500": error(500, "InternalServerError"),
    "502": error(502, "BadGateway"),
    "503": error(503, "ServiceUnavailable"),
    "504": error(504, "GatewayTimeout"),
    "599": error(599, "HttpServerError"),
    "errors that are strings": Case(body('{"errors": ["no"]}', 500), None, "AttributeError", always=True),
    "receipt": Case(body(RECEIPT, 401, Openstack_Auth_Receipt="x"), None, "MissingAuthMethods", always=True),
    "bad receipt": Case(body("{}", 401, Openstack_Auth_Receipt="x"), None, "KeyError", always=True),
    "relative location": Case(body("", 307, Location="/elsewhere"), {}, "UnknownConnectionError"),
    "broken location": Case(body("", 307, Location="http://["), {}, "ValueError"),
    "silent": Case(silent, {}, "ConnectTimeout"),
    "stuck in the body": Case(drips(raw(200, '{"a": "stuck"}'), 2.0), {}, "ConnectFailure"),
    "hangs up": Case(hangs_up, {}, "ConnectFailure"),
    "cut short": Case(sends(raw(200, '{"a": 1}')[:-3]), {}, "UnknownConnectionError"),
    "bad gzip": Case(body("{}", Content_Encoding="gzip"), {}, "UnknownConnectionError"),
}

CASES = KEPT | DROPPED


def path(name: str) -> str:
    """Where :func:`serving` has the case."""
    return "/" + name.replace(" ", "-")


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Run a peer with every case of the table on its path, and three redirects: here, elsewhere, and in a circle."""
    with Peer(context) as peer:
        peer.routes = {path(name): case.behaviour for name, case in CASES.items()}
        for status in (301, 302, 303, 305, 307, 308):
            peer.routes[f"/{status}"] = body("", status, Location=f"{peer.url}/object")
        peer.routes["/circle"] = body('"dizzy"', 307, Location=f"{peer.url}/circle")
        yield peer


#: Nova's limits, but for a read timeout that tests can wait for.
PATIENCE = Limits(read_timeout=0.5)


def asked(url: str, name: str = "target", limits: Limits = PATIENCE) -> Result:
    """Ask without a token."""
    return ask(anonymous(), Target(name, url), build_payload(), limits)
