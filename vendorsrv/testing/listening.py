"""The application on a real port, for clients that use HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from anyio.from_thread import BlockingPortal
from starlette.types import ASGIApp


@contextmanager
def listening(app: ASGIApp, portal: BlockingPortal) -> Iterator[str]:
    """Serve an application whose lifespan runs already, on a free loopback port; return the URL.

    :param portal: to its event loop.
    """
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # clients may connect before it accepts
        serving = portal.start_task_soon(server.serve, [listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            serving.result()
