"""One request to an ASGI application without a socket, and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a server.

    :ivar headers: by lower-case name.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value, as Nova parses it.

        :raises ValueError: the body is not JSON.
        """
        return json.loads(self.body)

    @property
    def request_id(self) -> str:
        """The id in the log lines of this request: ``req-…``."""
        return self.headers["x-openstack-request-id"]

    @property
    def code(self) -> str | None:
        """The error's stable code, e.g. ``handler_failed``; None for a successful answer."""
        return str(self.json["error"]["code"]) if self.status >= 400 else None

    @property
    def message(self) -> str | None:
        """What Nova logs, and shows the tenant when failures are fatal; None for a successful answer."""
        return str(self.json["error"]["message"]) if self.status >= 400 else None


async def request(
    app: ASGIApp, method: str, path: str, headers: Mapping[str, str], body: bytes, *, peer: str = LOOPBACK
) -> Answer:
    """Send one request to an application, and return its answer.

    :param peer: the address of who asks; empty if it is not known, as over a Unix socket.
    """
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": (peer, 0) if peer else None,
        "server": ("127.0.0.1", 80),
    }
    coming: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": body}]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *pieces = sent
    return Answer(
        status=start["status"],
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]},
        body=b"".join(piece.get("body", b"") for piece in pieces),
    )
