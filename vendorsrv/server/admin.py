"""The server's own pages, which have an address of their own: metrics and the API's documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from vendorsrv.peers.addresses import Networks
from vendorsrv.peers.connections import Connections, limit_connections
from vendorsrv.telemetry.exposition import Exposition
from vendorsrv.telemetry.metrics import Metrics

#: Connections of a worker to these pages, of which one peer can have half: Prometheus keeps one or two, a browser six.
#: With those to Nova's address they fit into the usual limit of 1,024 open files.
CONNECTIONS: Final = 128
#: What the log calls their limits.
NAMES: Final = dict.fromkeys(("peer", "worker"), "the limit of admin_port")


class Admin(FastAPI):
    """Serves the pages.

    :param schema: returns the OpenAPI document of the address that Nova calls.
    :param forward: lets an application answer a request, with a request id and a log line.
    :ivar connections: limits for these pages, apart from those for Nova: none has room at the other's expense. No peer
        is a trusted proxy here.
    """

    def __init__(
        self,
        metrics: Metrics,
        schema: Callable[[], dict[str, Any]],
        forward: Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]],
        exception_handlers: Mapping[Any, Any],
    ) -> None:
        super().__init__(openapi_url=None, redirect_slashes=False, exception_handlers={**exception_handlers})
        refused = metrics.counter("vendorsrv_connections_refused_total", "admin")
        most = limit_connections(CONNECTIONS * 6) // 6
        self.connections = Connections(most, most, Networks(), dict.fromkeys(NAMES, refused), NAMES)
        self.exposition = Exposition(metrics.counts)
        self.schema, self.forward = schema, forward
        for path, answer in (("/-/metrics", self.metrics_page), ("/-/docs", self.docs), ("/-/openapi.json", self.api)):
            self.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
        # A control plane has no way out to the host that FastAPI's own docs page loads its scripts from.
        self.mount("/-/docs/assets", StaticFiles(packages=[("fastapi_offline", "static")]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.forward(super().__call__, scope, receive, send)

    async def metrics_page(self, request: Request) -> Response:
        text, content_type = await self.exposition.text(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    async def api(self) -> Response:
        return JSONResponse(self.schema())

    async def docs(self) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="vendorsrv",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon.png",
            swagger_ui_parameters={"supportedSubmitMethods": []},  # requests belong to the other address
        )
