"""Every way in which vendordata can fail, and what Nova 34 makes of it.

The table of docs/failures.md is held to these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tests.support.keystone import TENANT


class Failure(NamedTuple):
    """One way to fail.

    :ivar answer: our status and code; empty when Nova gets no answer of ours.
    :ivar message: what Nova logs, and raises with when failure is fatal; ``…`` stands for anything.
    :ivar raises: the classes that this can be; mostly one.
    :ivar path: of the target.
    :ivar change: what is unusual about the instance.
    :ivar nova: what is unusual about Nova.
    :ivar before: what is unusual about instances that were asked about before.
    """

    answer: str
    message: str
    raises: Sequence[str]
    path: str = "/received"
    change: Mapping[str, Any] = {}
    nova: Mapping[str, Any] = {}
    before: Sequence[Mapping[str, Any]] = ()


def says(answer: str) -> dict[str, Any]:
    """Make the handler ``echo`` answer this."""
    return {"metadata": {"answer": answer}}


def fails_with(error: str) -> dict[str, Any]:
    """Make the handler ``refusing`` raise this error."""
    return {"metadata": {"error": error}}


def bad_answer(message: str, text: str) -> Failure:
    """A wrong answer of the handler ``echo``, after a right one: else it would rest."""
    message = f"the answer of handler echo {message}"
    return Failure("500 bad_answer", message, ["InternalServerError"], "/echo", says(text), before=[says("1")])


#: What our answers make of one instance or of one Nova.
REFUSALS: Final = {
    "Nova has no `[vendordata_dynamic_auth]`": Failure(
        "401 unauthorized", "the request has no X-Auth-Token", ["Unauthorized"], nova={"as_user": None}
    ),
    "Nova's account lacks the role": Failure(
        "403 forbidden", "the owner of the token may not ask for vendordata", ["Forbidden"], nova={"as_user": TENANT}
    ),
    "a handler's rule says no": Failure(
        "403 forbidden",
        "the policy does not allow handler received for this instance",
        ["Forbidden"],
        change={"system_metadata": {"boot_roles": "nobody"}},
    ),
    "the target names a handler that is not enabled": Failure(
        "404 not_found", "no handler of this name is enabled", ["NotFound"], "/nosuch"
    ),
    "the hostname has control characters": Failure(
        "400 bad_request", "hostname must not hold control characters", ["BadRequest"], change={"hostname": "mail\n1"}
    ),
    "the body is over `max_body_bytes`": Failure(
        "413 body_too_large",
        "the body has more than 32768 bytes",
        ["RequestEntityTooLarge"],
        change={"user_data": "QUFB" * 16383},
    ),
    "the instance was deleted a short time ago": Failure(
        "410 instance_deleted", "the instance is deleted", ["Gone"], "/refusing", fails_with("deleted")
    ),
    "a handler raises": Failure("500 handler_failed", "handler broken failed", ["InternalServerError"], "/broken"),
    "a handler answers NaN, or too much": bad_answer("a[1] is not a finite number", '{"a": [1, NaN]}'),
    "what a handler asks gives no usable answer": Failure(
        "502 upstream_failed", "the address pool is empty", ["BadGateway"], "/refusing", fails_with("upstream")
    ),
    "all threads of a handler are taken": Failure(
        "503 busy", "all threads of handler stuck are busy", ["ServiceUnavailable"], "/stuck", before=[{}]
    ),
    "a handler is slow": Failure(
        "504 handler_timeout", "handler slow gave no answer within 0.2 seconds", ["GatewayTimeout"], "/slow"
    ),
    "a path that nobody has": Failure("404 not_found", "nothing is served under this path", ["NotFound"], "/a/b"),
    "a path of the server's own": Failure(
        "405 method_not_allowed", "this path is not served for this method", ["MethodNotAllowed"], "/-/live"
    ),
    "a lone surrogate": Failure(
        "400 bad_request",
        "the body metadata.key has a lone surrogate, which is not Unicode text",
        ["BadRequest"],
        change={"metadata": {"key": "\ud800"}},
    ),
    "user-data that is not base64": Failure(
        "400 bad_request", "user-data is not base64", ["BadRequest"], change={"user_data": "x"}
    ),
    "a thread raises": Failure(
        "500 handler_failed", "handler broken-in-thread failed", ["InternalServerError"], "/broken-in-thread"
    ),
    "a vendor's own words": Failure(
        "500 handler_failed", "the address pool is empty", ["InternalServerError"], "/refusing", fails_with("handler")
    ),
    "a handler fails again and again": Failure(
        "503 circuit_open",
        "handler failing keeps failing; retry in 10 seconds",
        ["ServiceUnavailable"],
        "/failing",
        before=[{"project-id": f"project-{number}"} for number in range(5)],
    ),
    "an answer of another type": Failure(
        "500 bad_answer",
        "the answer of handler no-json roles is of type set, which is not JSON",
        ["InternalServerError"],
        "/no-json",
    ),
    "an answer that is too deep": bad_answer("is nested deeper than 64 levels", "[" * 65 + "]" * 65),
    "an answer that is not Unicode": bad_answer("has a lone surrogate, which is not Unicode text", '"\\ud800"'),
    "an answer that is too large": bad_answer("has 1026 bytes; 1024 are allowed", json.dumps("x" * 1024)),
}

#: What the state of a peer makes of every instance.
OUTAGES: Final = {
    "Nova's token is expired, revoked or from elsewhere": Failure(
        "401 unauthorized", "the X-Auth-Token is not valid", ["Unauthorized"]
    ),
    "Nova's password is wrong": Failure(
        "", "The request you have made requires authentication. (HTTP 401) …", ["Unauthorized"]
    ),
    "our Keystone is away, or refuses our account": Failure(
        "503 keystone_unavailable", "the token cannot be validated now", ["ServiceUnavailable"]
    ),
    "our Keystone hangs": Failure("503 keystone_unavailable", "the token …ot be validated …", ["ServiceUnavailable"]),
    "too many tokens wait for their validation": Failure(
        "503 keystone_unavailable", "too many tokens wait for their validation", ["ServiceUnavailable"]
    ),
    "the pins' database is locked": Failure(
        "503 pins_unavailable", "the pin store does not answer (…)", ["ServiceUnavailable"]
    ),
    "the server that a policy rule asks is down": Failure(
        "503 policy_unavailable", "the server of a policy rule does not answer", ["ServiceUnavailable"]
    ),
    "`policy.yaml` is broken, empty or gone": Failure(
        "503 policy_unavailable", "the server's policy file cannot be read", ["ServiceUnavailable"]
    ),
    "Nova's read timeout is below our time": Failure(
        "", "Request to http://…/mailserver timed out", ["ConnectTimeout"]
    ),
    "vendorsrv does not run": Failure(
        "", "Unable to establish connection to http://…: … Connection refused…", ["ConnectFailure"]
    ),
    "a target with `http://`, and we speak TLS": Failure(
        "",
        # Our hanging up comes after the request's head, and races with its body.
        "Unable to establish connection to http://…: ('Connection aborted.', …",
        ["ConnectFailure"],
    ),
    # With TLS 1.3 the refusal comes after the client's part of the handshake, and races with its request.
    "Nova shows no certificate, and `ca_file` is set": Failure("", "…https://…", ["ConnectFailure", "SSLError"]),
    "Nova does not trust our certificate": Failure(
        "", "SSL exception connecting to https://…: …[SSL: CERTIFICATE_VERIFY_FAILED] …", ["SSLError"]
    ),
    "Keystone is away when Nova needs a token": Failure(
        "", "Unable to establish connection to http://…/v3/auth/tokens: …", ["ConnectFailure"]
    ),
}
