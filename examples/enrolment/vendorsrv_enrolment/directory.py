"""A small in-memory directory of hosts with an HTTP API: the part of FreeIPA that an enrolment needs.

::

    POST   /hosts                   {"name"}      201 {"otp", "revision"}; 409 {"enrolled", "revision"} if it is there
    PUT    /hosts/<name>/otp        {"revision"}  200 {"otp", "revision"}; 409 if it is another, or the host enrolled
    GET    /hosts                                 200 {"hosts", "passwords"}: how many there are, and were ever issued
    DELETE /hosts/<name>                          204
    POST   /hosts/<name>/enrolment  {"otp"}       204, once: the host itself; 403 if the password is not the right one

All but the last need ``Authorization: Bearer <token>``; the last needs the password.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN_VARIABLE: Final = "DIRECTORY_TOKEN"

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass
class Host:
    """An entry of the directory.

    :ivar digest: of the password, which is not stored; empty once it has been used.
    :ivar revision: counts the passwords.
    """

    digest: bytes = b""
    revision: int = 0

    def conflict(self) -> Response:
        """Return the 409 response with the host's state."""
        return JSONResponse({"enrolled": not self.digest, "revision": self.revision}, 409)


class Directory:
    """The hosts and the API's operations."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.passwords = 0

    async def add(self, request: Request) -> Response:
        """Add a host and return its password, unless there is one of this name."""
        name = str((await members(request)).get("name", ""))
        if not name:
            return Response(status_code=400)
        if name in self.hosts:
            return self.hosts[name].conflict()
        self.hosts[name] = Host()
        return JSONResponse(self.issue(self.hosts[name]), 201)

    async def renew(self, request: Request) -> Response:
        """Replace the password of this revision, as long as the host has not used it."""
        revision = (await members(request)).get("revision")
        host = self.hosts.get(request.path_params["name"])
        if host is None:
            return Response(status_code=404)
        return JSONResponse(self.issue(host)) if host.digest and host.revision == revision else host.conflict()

    def issue(self, host: Host) -> dict[str, Any]:
        """Create the host's next password, which voids the one before."""
        otp = secrets.token_urlsafe(16)
        host.digest = digest(otp)
        host.revision += 1
        self.passwords += 1
        return {"otp": otp, "revision": host.revision}

    async def enrol(self, request: Request) -> Response:
        """Accept the password from the host itself; it is void afterwards."""
        given = digest(str((await members(request)).get("otp", "")))
        host = self.hosts.get(request.path_params["name"])
        if host is None or not hmac.compare_digest(host.digest, given):
            return Response(status_code=403)
        host.digest = b""
        return Response(status_code=204)

    async def remove(self, request: Request) -> Response:
        """Remove a host."""
        self.hosts.pop(request.path_params["name"], None)
        return Response(status_code=204)

    async def count(self, _: Request) -> Response:
        """Return the number of hosts, and of all passwords ever issued."""
        return JSONResponse({"hosts": len(self.hosts), "passwords": self.passwords})


def digest(otp: str) -> bytes:
    """Return the digest that is stored for a password."""
    return hashlib.sha256(otp.encode()).digest()


async def members(request: Request) -> dict[str, Any]:
    """Return the members of the body, or none if it is not a JSON object."""
    try:
        value = await request.json()
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def application(token: str) -> Starlette:
    """Build the directory's ASGI application.

    :param token: authenticates administrators, such as the handler.
    """
    expected = f"Bearer {token}".encode()

    def for_administrators(endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            shown = request.headers.get("Authorization", "").encode()
            return await endpoint(request) if hmac.compare_digest(expected, shown) else Response(status_code=401)

        return guarded

    directory = Directory()
    return Starlette(
        routes=[
            Route("/hosts", for_administrators(directory.add), methods=["POST"]),
            Route("/hosts", for_administrators(directory.count), methods=["GET"]),
            Route("/hosts/{name}/otp", for_administrators(directory.renew), methods=["PUT"]),
            Route("/hosts/{name}", for_administrators(directory.remove), methods=["DELETE"]),
            Route("/hosts/{name}/enrolment", directory.enrol, methods=["POST"]),
        ]
    )


def main() -> None:
    """Serve a new directory on loopback until SIGTERM or Ctrl-C; the first printed line is its URL."""
    parser = ArgumentParser(prog="python -m vendorsrv_enrolment.directory", description="A small directory of hosts.")
    parser.add_argument("--port", type=int, default=9191, help="TCP port on loopback; 0 picks a free one")
    port = parser.parse_args().port
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        sys.exit(f"{TOKEN_VARIABLE} is not set: set it to the token with which the handler authenticates")
    listener = socket.create_server(("127.0.0.1", port))  # the server closes it
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(application(token), log_level="warning", lifespan="off")).run(sockets=[listener])


if __name__ == "__main__":
    main()
