"""``python -m bench.bare CONFIG NAME``: applications without vendorsrv, on uvicorn as vendorsrv configures it.

They use uvicorn's own protocol, which writes head and body of a response separately; vendorsrv's writes them at once.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.handlers import ANSWER
from tests.support.processes import listening
from vendorsrv.server.serve import uvicorn_config
from vendorsrv.settings import Settings

LISTENING: Final = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+) ")
#: The same bytes as vendorsrv's answer.
BODY: Final = json.dumps(ANSWER, separators=(",", ":")).encode()
HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def floor(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and send a fixed answer: the least that an application on uvicorn can do."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def live(receive: Receive, send: Send) -> None:
    """Confirm the start and the stop of the server (the ASGI lifespan)."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


class Nova(BaseModel):
    """Nova's body."""

    project_id: str | None = Field(alias="project-id")
    instance_id: str = Field(alias="instance-id")
    image_id: str | None = Field(alias="image-id")
    user_data: str | None = Field(alias="user-data")
    hostname: str | None
    metadata: dict[str, str]
    boot_roles: str = Field("", alias="boot-roles")


def fastapi() -> FastAPI:
    """Build the application of a FastAPI tutorial: one route with a model of the body, and no authentication."""
    application = FastAPI()

    @application.post("/mail")
    async def mail(body: Nova) -> dict[str, str]:
        if "mail-admin" not in body.boot_roles.split(","):
            return {}
        return {
            "role": "mail-server",
            "domain": "example.org",
            "hostname": f"{body.hostname}.example.org",
            "relayhost": "relay.example.org",
        }

    return application


@contextmanager
def serving_bare(directory: Path, name: str) -> Iterator[str]:
    """Run one application in a process of its own on a free loopback port, and yield its URL.

    :param directory: for its configuration and its log.
    """
    directory.mkdir(exist_ok=True)
    config, log = directory / "bare.conf", directory / "bare.log"
    config.write_text("[vendorsrv]\nport = 0\n")
    with listening([sys.executable, "-m", "bench.bare", str(config), name], log, LISTENING) as url:
        yield url


def serve_bare(settings: Settings, application: ASGIApp) -> None:
    """Serve an application with uvicorn's own protocol until SIGTERM."""
    config = uvicorn_config(settings, application, 1)
    config.http = "httptools"
    uvicorn.Server(config).run()


def main(config_file: str, name: str) -> None:
    """Serve the named application until SIGTERM."""
    logging.basicConfig(level=logging.INFO)
    serve_bare(Settings.from_file(config_file), floor if name == "floor" else fastapi())


if __name__ == "__main__":
    main(*sys.argv[1:])
