"""All errors, each with its HTTP status, a stable code and a message that a tenant may read.

::

    ConfigError                  an operator's mistake: printed, never sent
    NotYet                       raised by a handler: a provisional answer
    NotForThisInstance           raised by a handler: it has no answer for this instance
    VendordataError              every error that a client can get
    +-- BadRequest               400  the body is not what Nova sends
    +-- Unauthorized             401  no token, or not a valid one
    +-- Forbidden                403  the policy denies the token's owner; a handler may raise it
    +-- NotFound                 404  nothing is served here
    +-- MethodNotAllowed         405  the path is not served for this method
    +-- BodyTimeout              408  the body arrived too slowly
    +-- InstanceDeleted          410  the instance is gone
    +-- BodyTooLarge             413  the body is larger than max_body_bytes
    +-- UrlTooLong               414  the URL is longer than a head may be
    +-- UnsupportedMediaType     415  the body is not application/json
    +-- TooManyRequests          429  more than the handler serves; a handler may raise it
    +-- HeadTooLarge             431  the head, or a chunked body's trailers, are too large
    +-- ServerError              500  a bug in vendorsrv
    |   +-- HandlerError         500  the handler failed; a handler may raise it
    |   +-- AnswerError          500  Nova or the guest could not use the handler's answer
    |       +-- CloudInitError   500  cloud-init would ignore it, or it would harm the boot
    +-- UpstreamError            502  the handler's upstream gave no usable answer; a handler may raise it
    |   +-- UpstreamRefused      502  the handler's upstream works and refused the request
    +-- ServiceUnavailable       503  temporarily unavailable; a handler may raise it
    |   +-- KeystoneUnavailable  503  tokens cannot be validated
    |   +-- PolicyUnavailable    503  the policy cannot be read, or the server of a rule does not answer
    |   +-- Busy                 503  the handler's concurrency limit and queue are full, no slot became free in time,
    |   |                             or all its threads are busy
    |   +-- CircuitOpen          503  the handler keeps failing, so its circuit breaker is open
    |   +-- FactsUnavailable     503  Nova, Glance or Keystone does not tell what a handler needs to know
    |   |   +-- FactsRefused     503  it works, and does not know the instance, or refuses vendorsrv's account
    |   +-- PinsUnavailable      503  the pin database is unavailable, or another worker is running the handler
    +-- HandlerTimeout           504  the handler overran its deadline

With ``vendordata_dynamic_failure_fatal`` on, Nova puts the message into the fault that the tenant sees: messages are
short and plain, without secrets and host names. The body has the shape that keystoneauth1 reads
(``exceptions/http.py``): ``{"error": {"message": …}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ConfigError(Exception):
    """The configuration, the credentials or a command cannot work; the text says what to change."""


class NotYet(Exception):
    """Raised by a handler to return a provisional answer.

    :param answer: what Nova gets this time, ``{}`` by default; it is neither pinned nor cached.
    """

    def __init__(self, answer: object = None) -> None:
        super().__init__("not yet")
        self.answer = answer


class NotForThisInstance(Exception):
    """Raised by a handler that has no answer for this instance, such as one for the instances of other projects.

    ``POST /`` and ``/cloud-init`` leave the handler out, and alone it answers ``{}``. That is cached and pinned as any
    other answer.
    """


class VendordataError(Exception):
    """Base of every error that a client can get.

    :param message: one plain sentence; Nova logs it and may show it to the tenant.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal Server Error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = str(message) or self.title  # handlers often pass an exception to pass its text


class BadRequest(VendordataError):
    """The body is not a valid request from Nova; the message names the field."""

    status, code, title = 400, "bad_request", "Bad Request"


class Unauthorized(VendordataError):
    """The request has no token, or one that Keystone does not accept."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(VendordataError):
    """The token is valid, but the policy denies its owner the request. A handler may raise it to refuse a request."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(VendordataError):
    """Nothing is served under this path."""

    status, code, title = 404, "not_found", "Not Found"


class MethodNotAllowed(VendordataError):
    """The path exists, but not for this method."""

    status, code, title = 405, "method_not_allowed", "Method Not Allowed"
    headers: ClassVar[Mapping[str, str]] = {"Allow": "POST"}


class BodyTimeout(VendordataError):
    """The body did not arrive in time; the connection is closed (RFC 9110, 15.5.9)."""

    status, code, title = 408, "body_timeout", "Request Timeout"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class InstanceDeleted(VendordataError):
    """The instance was deleted a short time ago; nothing is made for it any more (RFC 9110, 15.5.11)."""

    status, code, title = 410, "instance_deleted", "Gone"


class BodyTooLarge(VendordataError):
    """The body is larger than ``max_body_bytes``; the rest is not read (RFC 9110, 15.5.14)."""

    status, code, title = 413, "body_too_large", "Content Too Large"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class UrlTooLong(VendordataError):
    """The request's first line is longer than a head may be; the connection is closed (RFC 9110, 15.5.15)."""

    status, code, title = 414, "url_too_long", "URI Too Long"


class TooManyRequests(VendordataError):
    """Raised by a handler of which more is asked than it serves, such as for a project (RFC 6585, section 4)."""

    status, code, title = 429, "too_many_requests", "Too Many Requests"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class HeadTooLarge(VendordataError):
    """The head, or what frames a chunked body, is too large; the connection is closed (RFC 6585, section 5)."""

    status, code, title = 431, "head_too_large", "Request Header Fields Too Large"


class UnsupportedMediaType(VendordataError):
    """The body is declared as something other than UTF-8 JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported Media Type"


class ServerError(VendordataError):
    """A bug in vendorsrv; the log has the place under the request id."""


class HandlerError(VendordataError):
    """A handler failed. A handler may raise it with a message that a tenant may read."""

    code = "handler_failed"


class AnswerError(VendordataError):
    """Nova or the guest could not use the handler's answer; the message names the place in the answer."""

    code = "bad_answer"


class CloudInitError(AnswerError):
    """A part that cloud-init would ignore, or that would harm the boot; the message names the key."""

    code = "bad_cloud_init"


class UpstreamError(VendordataError):
    """The handler's upstream gave no usable answer. A handler may raise it."""

    status, code, title = 502, "upstream_failed", "Bad Gateway"


class UpstreamRefused(UpstreamError):
    """The handler's upstream works, and has nothing for this instance or this caller.

    It does not count as a failure for the circuit breaker.
    """

    code = "upstream_refused"


class ServiceUnavailable(VendordataError):
    """The request cannot be served now; a retry may succeed. A handler may raise it."""

    status, code, title = 503, "unavailable", "Service Unavailable"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class KeystoneUnavailable(ServiceUnavailable):
    """Tokens cannot be validated: Keystone is unavailable, too slow, or refuses vendorsrv's account."""

    code = "keystone_unavailable"


class PolicyUnavailable(ServiceUnavailable):
    """The policy file became unreadable while the server was running, or the server of a rule does not answer."""

    code = "policy_unavailable"


class Busy(ServiceUnavailable):
    """The handler's limit and queue are full, no slot became free in time, or all its threads are busy."""

    code = "busy"


class CircuitOpen(ServiceUnavailable):
    """The handler keeps failing; its circuit breaker is open for some seconds."""

    code = "circuit_open"


class FactsUnavailable(ServiceUnavailable):
    """Nova, Glance or Keystone, which the message names, does not tell what has to be known of the instance."""

    code = "facts_unavailable"


class FactsRefused(FactsUnavailable):
    """The service works, and does not know what was asked for, or refuses vendorsrv's account.

    It does not count as a failure for the circuit breaker: other instances may be in other projects.
    """

    code = "facts_refused"


class PinsUnavailable(ServiceUnavailable):
    """The pinned answer can be neither read nor created now; an unpinned one is never returned."""

    code = "pins_unavailable"


class HandlerTimeout(VendordataError):
    """A handler overran its deadline."""

    status, code, title = 504, "handler_timeout", "Gateway Timeout"


def all_errors() -> list[type[VendordataError]]:
    """Return every error class of this module that a client can get."""
    return [each for each in globals().values() if isinstance(each, type) and issubclass(each, VendordataError)]
