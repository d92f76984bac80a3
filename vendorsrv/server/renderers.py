"""How exceptions that reach the framework become responses, in the one shape of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from vendorsrv.errors import MethodNotAllowed, NotFound, ServerError, VendordataError
from vendorsrv.server.endpoint import ERROR_TYPE, error_body
from vendorsrv.telemetry.logs import REQUEST_ID


async def render_error(request: Request, error: Exception) -> Response:
    """Render an error in the one shape; the endpoint logs where an unexpected one was raised."""
    headers: Mapping[str, str] = {}
    if isinstance(error, VendordataError):
        headers = error.headers
    elif not isinstance(error, HTTPException):
        error = ServerError("the server failed; its log has more")
    elif error.status_code == 405:
        headers = error.headers or {}
        error = MethodNotAllowed("this path is not served for this method")
    else:
        error = NotFound("nothing is served under this path")
    request.scope[ERROR_TYPE] = type(error)
    body = error_body(error, REQUEST_ID.get())
    return Response(body, error.status, {**headers}, media_type="application/json")


#: What renders the exceptions that reach the framework.
RENDERERS: Final[Mapping[Any, Any]] = dict.fromkeys((HTTPException, VendordataError, Exception), render_error)
