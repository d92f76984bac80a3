"""Every error that a client can be answered: status, code and title, and a message in any case."""

from __future__ import annotations

import pytest

from vendorsrv import errors
from vendorsrv.errors import HandlerError, NotYet, VendordataError

#: What clients and documents rely on.
ERRORS = {
    "BadRequest": (400, "bad_request", "Bad Request"),
    "Unauthorized": (401, "unauthorized", "Unauthorized"),
    "Forbidden": (403, "forbidden", "Forbidden"),
    "NotFound": (404, "not_found", "Not Found"),
    "MethodNotAllowed": (405, "method_not_allowed", "Method Not Allowed"),
    "BodyTimeout": (408, "body_timeout", "Request Timeout"),
    "BodyTooLarge": (413, "body_too_large", "Content Too Large"),
    "UnsupportedMediaType": (415, "unsupported_media_type", "Unsupported Media Type"),
    "ServerError": (500, "internal_error", "Internal Server Error"),
    "HandlerError": (500, "handler_failed", "Internal Server Error"),
    "AnswerError": (500, "bad_answer", "Internal Server Error"),
    "UpstreamError": (502, "upstream_failed", "Bad Gateway"),
    "ServiceUnavailable": (503, "unavailable", "Service Unavailable"),
    "KeystoneUnavailable": (503, "keystone_unavailable", "Service Unavailable"),
    "PolicyUnavailable": (503, "policy_unavailable", "Service Unavailable"),
    "Busy": (503, "busy", "Service Unavailable"),
    "HandlerTimeout": (504, "handler_timeout", "Gateway Timeout"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_its_status_code_and_title(name: str) -> None:
    """They do not change from one release to the next."""
    error = getattr(errors, name)
    assert ERRORS[name] == (error.status, error.code, error.title)


@pytest.mark.parametrize("name", [name for name, (status, *_) in ERRORS.items() if status == 503])
def test_what_may_be_better_soon_can_be_tried_again(name: str) -> None:
    """After a second."""
    assert "1" == getattr(errors, name).headers["Retry-After"]


def test_an_error_without_a_message_says_its_title() -> None:
    """No client gets an empty sentence."""
    assert "Internal Server Error" == HandlerError().message


def test_an_error_may_be_raised_from_another() -> None:
    """A vendor who gives the exception itself means its text."""
    error: VendordataError = HandlerError(ValueError("no address left"))  # type: ignore[arg-type]
    assert "no address left" == error.message


def test_not_yet_is_no_error() -> None:
    """It carries what Nova gets this time."""
    assert ({"ready": False}, None, False) == (
        NotYet({"ready": False}).answer,
        NotYet().answer,
        issubclass(NotYet, VendordataError),
    )
