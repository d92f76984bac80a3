"""Good and bad answers of a vendordata server, byte for byte as on the wire."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Final

#: Answers one request, with two functions: one sends bytes, one waits for some seconds or until the test is over.
Behaviour = Callable[[Callable[[bytes], object], Callable[[float], object]], object]

#: Seconds; Nova gives up after 5.
SILENCE: Final = 60.0

#: An error in the form that keystoneauth1 can read.
ERROR: Final = '{"error": {"message": "no such rack"}}'
#: Keystone's request for a second factor, which keystoneauth1 looks for in every 401.
RECEIPT: Final = (
    '{"receipt": {"methods": ["password"], "expires_at": "2030-01-01T00:00:00.000000Z"}, '
    '"required_auth_methods": [["password", "totp"]]}'
)


def raw(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """Return a whole response as on the wire.

    :param headers: more headers; ``_`` in a name is a hyphen.
    """
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(data)}"]
    lines += ["Connection: close"]  # else the client's next request races with our closing
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def sends(response: bytes) -> Behaviour:
    """Answer with these bytes, and close the connection."""
    return lambda send, _: send(response)


def body(text: bytes | str, status: int = 200, content_type: str = "application/json", **headers: str) -> Behaviour:
    """Answer with this body; the headers are :func:`raw`'s."""
    return sends(raw(status, text, content_type, **headers))


def drips(response: bytes, seconds: float, times: int = 5) -> Behaviour:
    """Answer with a pause of this many seconds before each of the last ``times`` bytes."""

    def behave(send: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
        send(response[:-times])
        for position in range(-times, 0):
            wait(seconds)
            send(response[position:][:1])

    return behave


def slow(send: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
    """Send a good answer after Nova has given up."""
    wait(6.0)
    send(raw(200, '{"a": "late"}'))


def silent(_: Callable[[bytes], object], wait: Callable[[float], object]) -> None:
    """Accept the request and never answer."""
    wait(SILENCE)


def hangs_up(_: Callable[[bytes], object], __: Callable[[float], object]) -> None:
    """Close the connection without an answer."""


#: By name. tests/support/peers/table_bad.py has what Nova makes of each, directly and through a proxy.
BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "object": body('{"role": "mail-server"}'),
    "created": body('{"a": 1}', 201),
    "accepted": body('{"a": 1}', 202),
    "list": body("[1, [2]]"),
    "string": body('"#cloud-config"'),
    "number": body("17"),
    "true": body("true"),
    "null": body("null"),
    "no content": sends(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    "empty body": body(""),
    "not modified": sends(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"),
    "latin-1": body('"M\u00fcller"', content_type="text/plain"),
    "utf-8 text": body('"M\u00fcller"', content_type="text/plain; charset=utf-8"),
    "true latin-1": body(b'"M\xfcller"', content_type="text/plain"),
    "no utf-8": body(b'"M\xfcller"'),
    "300": body('{"a": 300}', 300),
    "302 without location": body('{"a": 302}', 302),
    "dripping": drips(raw(200, '{"a": "slow"}'), 0.15),
    "5 MB": body('"' + "x" * 5 * 2**20 + '"'),
    "chunked": sends(
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
    ),
    "gzip": body(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip"),
    "duplicate names": body('{"a": 1, "a": 2}'),
    "lone surrogate": body('"\\ud800"'),
    "nan": body("[NaN]"),
    "infinity": body("[Infinity]"),
    "out of range": body("1e999"),
    "html": body("<html></html>", content_type="text/html"),
    "white space": body(" \n"),
    "byte order mark": body('\ufeff{"a": 1}'),
    "cloud-config": body("#cloud-config\nruncmd: []"),
    "long number": body("9" * 5000),
    "deep": body("[" * 100_000 + "]" * 100_000),
    **{str(status): body(ERROR, status) for status in (400, 401, 403, 404, 405, 409, 413, 422, 429, 499)},
    **{str(status): body(ERROR, status) for status in (500, 502, 503, 504, 599)},
    "retry after": body(ERROR, 503, Retry_After="1"),
    "errors that are strings": body('{"errors": ["no"]}', 500),
    "receipt": body(RECEIPT, 401, Openstack_Auth_Receipt="x"),
    "bad receipt": body("{}", 401, Openstack_Auth_Receipt="x"),
    "relative location": body("", 307, Location="/elsewhere"),
    "broken location": body("", 307, Location="http://["),
    "slow": slow,
    "silent": silent,
    "stuck in the body": drips(raw(200, '{"a": "stuck"}'), SILENCE),
    "hangs up": hangs_up,
    "cut short": sends(raw(200, '{"a": 1}')[:-3]),
    "wrong length": sends(raw(200, '{"a": 1}').replace(b"Length: 8", b"Length: 5")),
    "two responses": sends(raw(200, '{"a": 1}') * 2),
    "bad gzip": body("{}", Content_Encoding="gzip"),
}


def path(name: str) -> str:
    """Return the path of a behaviour at :class:`vendorsrv.testing.FakeUpstream`: ``/cut-short`` for ``cut short``."""
    return "/" + name.replace(" ", "-")
