"""The application on a real port, for what asks over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from anyio.from_thread import BlockingPortal
from starlette.types import ASGIApp


@contextmanager
def listening(app: ASGIApp, portal: BlockingPortal) -> Iterator[str]:
    """Serve an application whose lifespan runs already, on a free loopback port; give the URL.

    :param portal: to the event loop that it runs on.
    """
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # who connects before it accepts waits in line
        serving = portal.start_task_soon(server.serve, [listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            serving.result()
