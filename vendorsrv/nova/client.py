"""Call a vendordata server as Nova does, and report what Nova makes of the answer."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from keystoneauth1 import exceptions
from keystoneauth1.session import Session
from oslo_config import cfg
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from vendorsrv.errors import ConfigError
from vendorsrv.nova.credentials import authenticate, one_line, open_nova_conf
from vendorsrv.nova.pitfalls import Hop, Observed, find_pitfalls
from vendorsrv.settings import read

HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "openstack-nova-vendordata",
}
SHOWN_HEADERS: Final = ("Content-Type", "X-Openstack-Request-Id", "Retry-After", "WWW-Authenticate", "Location")

#: Nova's own declarations of how it connects (``nova/conf/api.py``).
CONNECTION_OPTIONS: Final = (
    cfg.IntOpt("vendordata_dynamic_connect_timeout", default=5, min=3),
    cfg.IntOpt("vendordata_dynamic_read_timeout", default=5, min=0),
    cfg.StrOpt("vendordata_dynamic_ssl_certfile", default=""),
)
#: The CA certificates that Nova trusts when no file is configured.
CA_BUNDLE: Final = DEFAULT_CA_BUNDLE_PATH

# What DynamicVendorData._do_request catches; vendordata_dynamic_failure_fatal raises it again.
NOVA_CATCHES: Final = (TypeError, ValueError, exceptions.ConnectionError, exceptions.HttpError)
# What it does not catch: a deeply nested answer; a CA file that does not exist; an error body with
# {"errors": ["text"]}; a 401 with an auth receipt; no Keystone at a URL without /v3 when a new token is due.
NOVA_LETS_THROUGH: Final = (RecursionError, OSError, AttributeError, KeyError, exceptions.ClientException)
REASONS: Final = (
    (RecursionError, "its JSON is nested too deep for Nova's parser"),
    (json.JSONDecodeError, "its body is not JSON"),
    (exceptions.SSLError, "the TLS connection failed"),
    (exceptions.ConnectFailure, "the connection was refused or broke off"),
    (exceptions.UnknownConnectionError, "the answer cannot be read"),
    ((AttributeError, KeyError), "its error body has a form that keystoneauth1 does not expect"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """One of Nova's ``[api] vendordata_dynamic_targets``."""

    name: str
    url: str

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> Target:
        """Read ``name@url``, split at the first ``@`` as Nova does, or a URL alone.

        :param name: overrides the name in the text; without either it is the last part of the URL's path.
        :raises ConfigError: the text has no http or https URL.
        """
        before, at, after = text.partition("@")
        given, url = (before, after) if at and "://" not in before else ("", text)
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            host = None
        if not host or parts.scheme not in {"http", "https"}:
            raise ConfigError(f"{one_line(text)} is neither an http:// or https:// URL nor NAME@URL")
        return cls(name or given or parts.path.rstrip("/").rpartition("/")[2] or host, url)


@dataclass(frozen=True, slots=True)
class Limits:
    """How Nova connects: its ``[api] vendordata_dynamic_*`` options, with their defaults, in seconds."""

    connect_timeout: float = 5.0
    read_timeout: float = 5.0
    ssl_certfile: str = ""

    @classmethod
    def from_nova_conf(cls, path: str | Path) -> Limits:
        """Read the options from Nova's own file.

        :raises ConfigError: the file cannot be read, or Nova would not accept a value.
        """
        values, problems = read(open_nova_conf(path), "api", CONNECTION_OPTIONS)
        if problems:
            raise ConfigError(f"{path}: {one_line(problems[0])}")
        return cls(*values.values())


NOVA_DEFAULTS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Result:
    """What Nova makes of one call. The value, and the server's message in ``error``, may be secret.

    :ivar status: the last status that the server sent, or None.
    :ivar elapsed: seconds for everything except getting the token.
    :ivar headers: headers of the last response that matter to an operator.
    :ivar value: what Nova stores under the name; ``{}`` when it drops the answer, None when it raises.
    :ivar entry: ``{name: value}`` as Nova writes it into ``vendor_data2.json``, or None.
    :ivar dropped: why Nova drops the answer, or None.
    :ivar error: what Nova logs then, or None.
    :ivar raises: the class that Nova raises then, with ``vendordata_dynamic_failure_fatal`` on.
    :ivar always_raises: whether it raises with that option off as well.
    :ivar warnings: pitfalls of the call (:mod:`vendorsrv.nova.pitfalls`).
    """

    name: str
    url: str
    elapsed: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    value: Any = field(default=None, repr=False)
    entry: str | None = field(default=None, repr=False)
    dropped: str | None = None
    error: str | None = field(default=None, repr=False)
    raises: str | None = None
    always_raises: bool = False
    warnings: tuple[str, ...] = ()


def ask(session: Session, target: Target, payload: Mapping[str, Any], limits: Limits = NOVA_DEFAULTS) -> Result:
    """Call once, as ``DynamicVendorData._do_request`` does: the same calls of the same libraries.

    keystoneauth1 answers a 401 with a new token and a second try, and follows redirects.

    :param session: see :mod:`vendorsrv.nova.credentials`.
    :raises ConfigError: Keystone gave no token; nothing was sent to the server.
    """
    authenticate(session)
    responses: list[requests.Response] = []
    caught: Exception | None = None
    value: Any = None
    entry: str | None = None
    started = time.monotonic()
    try:
        answer = send(session, target.url, payload, limits, responses.append)
        value = json.loads(answer.text) if answer and answer.text else {}
        entry = json.dumps({target.name: value})
    except NOVA_CATCHES as error:
        caught, value, entry = error, {}, json.dumps({target.name: {}})
    except NOVA_LETS_THROUGH as error:
        caught, value = error, None
    elapsed = time.monotonic() - started
    headers = responses[-1].headers if responses else {}
    seen = observe(target, responses, value, elapsed, limits, kept=caught is None)
    return Result(
        name=target.name,
        url=one_line(target.url),
        elapsed=elapsed,
        status=responses[-1].status_code if responses else None,
        headers={name: one_line(headers[name]) for name in SHOWN_HEADERS if name in headers},
        value=value,
        entry=entry,
        dropped=reason(caught, responses) if caught else None,
        error=one_line(caught) if caught else None,
        raises=type(caught).__name__ if caught else None,
        always_raises=caught is not None and not isinstance(caught, NOVA_CATCHES),
        warnings=find_pitfalls(seen, kept=caught is None),
    )


def send(
    session: Session, url: str, payload: Mapping[str, Any], limits: Limits, note: Callable[[requests.Response], None]
) -> requests.Response:
    with warnings.catch_warnings():
        # A redirect from http to https is followed unverified: one of the result's warnings says so.
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
        return session.request(
            url,
            "POST",
            data=json.dumps(payload),
            headers=dict(HEADERS),
            verify=(limits.ssl_certfile or True) if url.startswith("https://") else False,
            timeout=(limits.connect_timeout, limits.read_timeout),
            hooks={"response": lambda response, *_, **__: note(response)},
            log=False,  # keystoneauth1 would log user-data and the answer
        )


def reason(error: Exception, responses: Sequence[requests.Response]) -> str:
    if isinstance(error, exceptions.HttpError) and error.response not in responses:
        return "the server answered 401, and Keystone refused a new token"
    if isinstance(error, exceptions.HttpError):
        return f"the server answered {error.http_status}"
    if isinstance(error, exceptions.ConnectTimeout):
        kind = "connection" if isinstance(error.__context__, requests.ConnectTimeout) else "answer"
        return f"there was no {kind} within the timeout"
    return next((text for kind, text in REASONS if isinstance(error, kind)), "Nova cannot use it")


def observe(
    target: Target, responses: Sequence[requests.Response], value: Any, elapsed: float, limits: Limits, *, kept: bool
) -> Observed:
    answer = responses[-1] if kept else None
    return Observed(
        name=target.name,
        url=target.url,
        hops=tuple(Hop(one.url, one.status_code, one.headers.get("Location")) for one in responses),
        with_token=any("X-Auth-Token" in one.request.headers for one in responses),
        elapsed=elapsed,
        read_timeout=limits.read_timeout,
        body=answer.content if answer is not None else b"",
        text=answer.text if answer is not None else "",
        value=value,
    )
