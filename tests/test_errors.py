"""Errors have a stable status, code and title, and never an empty message."""

from __future__ import annotations

import pytest

from vendorsrv import errors
from vendorsrv.errors import HandlerError, NotForThisInstance, NotYet, VendordataError

#: What clients may rely on.
ERRORS = {
    "BadRequest": (400, "bad_request", "Bad Request"),
    "Unauthorized": (401, "unauthorized", "Unauthorized"),
    "Forbidden": (403, "forbidden", "Forbidden"),
    "NotFound": (404, "not_found", "Not Found"),
    "MethodNotAllowed": (405, "method_not_allowed", "Method Not Allowed"),
    "BodyTimeout": (408, "body_timeout", "Request Timeout"),
    "BodyTooLarge": (413, "body_too_large", "Content Too Large"),
    "InstanceDeleted": (410, "instance_deleted", "Gone"),
    "UnsupportedMediaType": (415, "unsupported_media_type", "Unsupported Media Type"),
    "TooManyRequests": (429, "too_many_requests", "Too Many Requests"),
    "ServerError": (500, "internal_error", "Internal Server Error"),
    "HandlerError": (500, "handler_failed", "Internal Server Error"),
    "AnswerError": (500, "bad_answer", "Internal Server Error"),
    "CloudInitError": (500, "bad_cloud_init", "Internal Server Error"),
    "UpstreamError": (502, "upstream_failed", "Bad Gateway"),
    "UpstreamRefused": (502, "upstream_refused", "Bad Gateway"),
    "ServiceUnavailable": (503, "unavailable", "Service Unavailable"),
    "KeystoneUnavailable": (503, "keystone_unavailable", "Service Unavailable"),
    "PolicyUnavailable": (503, "policy_unavailable", "Service Unavailable"),
    "Busy": (503, "busy", "Service Unavailable"),
    "CircuitOpen": (503, "circuit_open", "Service Unavailable"),
    "PinsUnavailable": (503, "pins_unavailable", "Service Unavailable"),
    "HandlerTimeout": (504, "handler_timeout", "Gateway Timeout"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_its_status_code_and_title(name: str) -> None:
    """The status, code and title of each error are stable."""
    error = getattr(errors, name)
    assert ERRORS[name] == (error.status, error.code, error.title)


@pytest.mark.parametrize("name", [name for name, (status, *_) in ERRORS.items() if status in (429, 503)])
def test_what_is_temporary_says_when_to_retry(name: str) -> None:
    """Every 429 and 503 has Retry-After: 1."""
    assert "1" == getattr(errors, name).headers["Retry-After"]


def test_an_error_without_a_message_has_its_title() -> None:
    """An error that is raised without a message has its title as the message."""
    assert "Internal Server Error" == HandlerError().message


def test_an_exception_can_be_the_message() -> None:
    """An error that is raised with an exception has that exception's text as the message."""
    error: VendordataError = HandlerError(ValueError("no address left"))  # type: ignore[arg-type]
    assert "no address left" == error.message


def test_an_answer_is_not_an_error() -> None:
    """NotYet has the provisional answer; it and NotForThisInstance are no VendordataErrors."""
    assert ({"ready": False}, None) == (NotYet({"ready": False}).answer, NotYet().answer)
    assert [False, False] == [issubclass(each, VendordataError) for each in (NotYet, NotForThisInstance)]
