"""What OpenAPI says of errors."""

from __future__ import annotations

from vendorsrv import HandlerError
from vendorsrv.server.openapi import error_statuses


class Teapot(HandlerError):
    """An error of a vendor's own."""

    status = 418


def test_every_status_of_ours_is_told() -> None:
    """With its title, in order; a vendor's own errors are the vendor's to tell."""
    assert [400, 401, 403, 404, 405, 408, 413, 415, 500, 502, 503, 504] == list(error_statuses())
    assert "Gateway Timeout" == error_statuses()[504]
