"""What OpenAPI says of errors."""

from __future__ import annotations

from vendorsrv import HandlerError
from vendorsrv.server.openapi import operation


class Teapot(HandlerError):
    """An error of a vendor's own."""

    status = 418


def test_openapi_has_every_error_status() -> None:
    """The OpenAPI document has every status of an error with its title, in order, and none of a vendor's own."""
    responses = operation("ask_all", "All handlers")["post"]["responses"]
    statuses = [
        "200",
        "400",
        "401",
        "403",
        "404",
        "405",
        "408",
        "410",
        "413",
        "414",
        "415",
        "429",
        "431",
        "500",
        "502",
        "503",
        "504",
    ]
    assert statuses == list(responses)
    assert "Gateway Timeout" == responses["504"]["description"]
