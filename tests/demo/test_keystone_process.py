"""The log of the local Keystone; how it runs is in tests/peers."""

import logging
from typing import Any

import pytest

from vendorsrv.demo.keystone_process import log_requests


def test_a_request_is_logged_without_headers_and_query(caplog: pytest.LogCaptureFixture) -> None:
    """Each request is one line of method, path and status; tokens are in headers, and stay there."""

    def application(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [])
        return [b"none"]

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/v3/auth/tokens",
        "QUERY_STRING": "secret",
        "HTTP_X_AUTH_TOKEN": "secret",
    }
    with caplog.at_level(logging.INFO):
        body = log_requests(application)(environ, lambda *_: None)
    assert [b"none"] == body
    assert ["GET /v3/auth/tokens 404"] == caplog.messages
