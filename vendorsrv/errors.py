"""Every way to fail, each with its HTTP status, a stable code and a message that a tenant may read.

::

    ConfigError                  an operator's mistake: printed, never sent
    NotYet                       raised by a handler: an answer that must not be pinned
    VendordataError              everything that a client can be answered
    +-- BadRequest               400  the body is not what Nova sends
    +-- Unauthorized             401  no token, or not a valid one
    +-- Forbidden                403  a valid token whose owner may not ask
    +-- NotFound                 404  nothing is served here
    +-- MethodNotAllowed         405  handlers are asked by POST
    +-- BodyTimeout              408  the body came too slowly
    +-- BodyTooLarge             413  the body is over max_body_bytes
    +-- UnsupportedMediaType     415  the body is not application/json
    +-- ServerError              500  our own fault
    |   +-- HandlerError         500  a handler failed; a vendor may raise it
    |   +-- AnswerError          500  a handler's answer is nothing that Nova can take
    |       +-- CloudInitError   500  cloud-init would ignore it, or the instance's boot would suffer
    +-- UpstreamError            502  what a handler asked gave no usable answer; a vendor may raise it
    |   +-- UpstreamRefused      502  what a handler asked works, and says no
    +-- ServiceUnavailable       503  not now, but soon
    |   +-- KeystoneUnavailable  503  tokens cannot be validated
    |   +-- PolicyUnavailable    503  the policy cannot be read
    |   +-- Busy                 503  a handler has all the work that it may have
    |   +-- CircuitOpen              503  a handler failed again and again, and is left alone for a while
    |   +-- PinsUnavailable      503  the pin store is unavailable, or another worker is running the handler
    +-- HandlerTimeout           504  a handler overran its deadline

With ``vendordata_dynamic_failure_fatal`` on, Nova puts the message into the fault that the tenant sees: messages are
short and plain, and hold no secret and no host name. The body's shape is the one that keystoneauth1 reads
(``exceptions/http.py``): ``{"error": {"message": …}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ConfigError(Exception):
    """The operator's configuration, credentials or command cannot work; its text says what to change."""


class NotYet(Exception):
    """Raised by a pinning handler whose answer holds only for now.

    :param answer: what Nova gets this time, ``{}`` by default; it is neither pinned nor cached.
    """

    def __init__(self, answer: object = None) -> None:
        super().__init__("not yet")
        self.answer = answer


class VendordataError(Exception):
    """Base of every error that a client is answered with.

    :param message: one plain sentence; goes to Nova, and from there possibly to the tenant.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal Server Error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = str(message) or self.title  # an exception is often given for its text


class BadRequest(VendordataError):
    """The body is not what Nova sends; the message names the field."""

    status, code, title = 400, "bad_request", "Bad Request"


class Unauthorized(VendordataError):
    """The request has no token, or one that Keystone does not accept."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(VendordataError):
    """The token is valid, but its owner may not ask for vendordata."""

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


class BodyTooLarge(VendordataError):
    """The body is over ``max_body_bytes``; the rest is not read (RFC 9110, 15.5.14)."""

    status, code, title = 413, "body_too_large", "Content Too Large"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class UnsupportedMediaType(VendordataError):
    """The body is declared as something other than UTF-8 JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported Media Type"


class ServerError(VendordataError):
    """A fault of this server that is none of the others; the log has more under the request id."""


class HandlerError(VendordataError):
    """A handler failed. A vendor may raise it with a message that is fit for the tenant's eyes."""

    code = "handler_failed"


class AnswerError(VendordataError):
    """A handler returned what Nova or the instance could not take; the message says where in the answer."""

    code = "bad_answer"


class CloudInitError(AnswerError):
    """Something for cloud-init that an instance would ignore or that would harm its boot; the message names the key."""

    code = "bad_cloud_init"


class UpstreamError(VendordataError):
    """What the handler itself asked gave no usable answer. A vendor may raise it."""

    status, code, title = 502, "upstream_failed", "Bad Gateway"


class UpstreamRefused(UpstreamError):
    """What the handler itself asked is well, and answers that there is nothing for this instance or this caller.

    It is no reason to rest the handler, nor to give an answer that is out of date in its place.
    """

    code = "upstream_refused"


class ServiceUnavailable(VendordataError):
    """It cannot be done now, but may be in a moment. A vendor may raise it."""

    status, code, title = 503, "unavailable", "Service Unavailable"
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class KeystoneUnavailable(ServiceUnavailable):
    """Tokens cannot be validated: Keystone is away, too slow, or refuses our own account."""

    code = "keystone_unavailable"


class PolicyUnavailable(ServiceUnavailable):
    """The policy file became unreadable while the server was running; nobody is let in."""

    code = "policy_unavailable"


class Busy(ServiceUnavailable):
    """Everything that this handler may do at once is being done, and its queue is full."""

    code = "busy"


class CircuitOpen(ServiceUnavailable):
    """A handler failed again and again; it is asked again after a while."""

    code = "circuit_open"


class PinsUnavailable(ServiceUnavailable):
    """The pinned answer can be neither read nor created now; an unpinned one is never returned."""

    code = "pins_unavailable"


class HandlerTimeout(VendordataError):
    """A handler overran its deadline."""

    status, code, title = 504, "handler_timeout", "Gateway Timeout"


def all_errors() -> list[type[VendordataError]]:
    """Give every class of this module that a client can be answered with, and none of a vendor's own."""
    return [each for each in globals().values() if isinstance(each, type) and issubclass(each, VendordataError)]
