"""``python -m tests.support.supervised FOLDER PATIENCE PORT``: two workers of a small application."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import uvicorn
from starlette.types import Receive, Scope, Send

from vendorsrv.errors import ConfigError
from vendorsrv.peers.addresses import Networks
from vendorsrv.peers.connections import OPTION, Connections
from vendorsrv.server.protocol import Protocol
from vendorsrv.server.supervisor import Supervisor
from vendorsrv.settings import STARTUP_FAILURE
from vendorsrv.telemetry.metrics import Metrics


class Application:
    """Answers with the worker's process id, and never at ``/block``, which blocks the worker.

    It does not start while there is a file ``hold``, or at all if there is ``broken``, and does not answer while there
    is ``busy``.
    """

    def __init__(self) -> None:
        self.folder = Path(sys.argv[1])
        counters = {limit: Metrics().counter("vendorsrv_connections_refused_total", limit) for limit in OPTION}
        self.connections = Connections(1000, 500, Networks(), counters)
        self.endpoint = SimpleNamespace(metrics=None)
        if (self.folder / "broken").exists():
            sys.exit(STARTUP_FAILURE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or the lifespan."""
        if scope["type"] == "lifespan":
            scope["state"]["application"] = self
            await receive()
            while (self.folder / "hold").exists():  # noqa: ASYNC110 - the tests' signal
                await asyncio.sleep(0.01)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            while (self.folder / "busy").exists():  # noqa: ASYNC110 - the tests' signal
                await asyncio.sleep(0.01)
            if scope["path"] == "/block":
                logging.getLogger(__name__).info("blocked")
                re.fullmatch("(a*)*b", "a" * 1000)  # the thread of the signs of life is blocked too
            text = b"%d" % os.getpid()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": text})


def main(patience: float, port: int) -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO)
    config = uvicorn.Config(
        Application,
        factory=True,
        port=port,
        workers=2,
        lifespan="on",
        http=Protocol,
        ws="none",
        log_config=None,
        proxy_headers=False,
    )
    try:
        Supervisor(config, [config.bind_socket()], patience).run()
    except ConfigError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(float(sys.argv[2]), int(sys.argv[3]))
