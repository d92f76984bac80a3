"""The options of a proxy, and the checks of their values."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from oslo_config import cfg

from vendorsrv.auth.service import find_service_problems
from vendorsrv.settings import Problem

AUTH: Final = {
    "none": "no credentials",
    "relay": "the token that Nova sent; needs relay_hosts",
    "service": "a token of the account in this section, or in the one that auth_section names",
    "basic": "basic_username and basic_password",
    "mtls": "the client certificate in certfile and keyfile alone",
}
PROXY_OPTIONS: Final = (
    cfg.MultiStrOpt(
        "url",
        required=True,
        help="URL of the upstream, as in nova.conf; several lines are tried in their order.",
        sample_default=["https://rack.example.org:9090/rack"],
    ),
    cfg.StrOpt("auth", default="none", choices=list(AUTH.items()), help="Credentials that the upstream gets."),
    cfg.ListOpt("relay_hosts", default=[], help="Hosts, or host:port, that may get the token with auth = relay."),
    cfg.StrOpt("basic_username", help="For auth = basic."),
    cfg.StrOpt("basic_password", secret=True, help="For auth = basic."),
    cfg.StrOpt("cafile", help="PEM certificates that verify the upstream's; the system's by default."),
    cfg.StrOpt("certfile", help="PEM client certificate (chain) for the upstream."),
    cfg.StrOpt("keyfile", help="PEM private key of certfile, unless that file contains it."),
    cfg.FloatOpt("connect_timeout", default=1.0, min=0.001, help="Maximum seconds for connecting."),
    cfg.FloatOpt(
        "read_timeout",
        min=0.001,
        help="Maximum seconds between two pieces of the answer. By default only timeout limits it, of which each "
        "remaining url gets an equal share.",
    ),
)
#: Visible ASCII, except what a URL has to escape.
URL: Final = re.compile(r"[!#-;=?-Z\[\]_a-z~]+")
#: What could be stolen on the way, by ``auth``.
CREDENTIALS: Final = {"relay": "Nova's token", "service": "a token of our own", "basic": "the password"}


def parts_of(url: str) -> SplitResult | None:
    """Split a URL; None when no request can be sent to it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and URL.fullmatch(url) else None


def find_proxy_problems(conf: cfg.ConfigOpts, section: str, values: Any) -> list[Problem]:
    """Return what is wrong in a proxy's section besides values of a wrong type.

    :param values: the section's options as attributes, without those that could not be read.
    """
    found = [*find_in_urls(values), *find_in_auth(values), *find_in_files(values)]
    problems = [Problem(section, option, text) for option, text in found]
    if getattr(values, "auth", None) == "service":
        problems += find_service_problems(conf, section)
    return problems


def find_in_urls(values: Any) -> Iterator[tuple[str, str]]:
    for url in getattr(values, "url", None) or ():
        parts = parts_of(url)
        if parts is None:
            yield "url", "not an http:// or https:// URL; write several as one line each, `url = …`"
        elif parts.username is not None:
            yield "url", "contains credentials; use auth = basic"
        elif parts.fragment:
            yield "url", "contains a fragment (#), which is never sent"
        elif parts.scheme == "http" and getattr(values, "auth", None) == "mtls":
            yield "url", "auth = mtls needs https://; over http:// no certificate is presented"
        elif getattr(values, "auth", None) == "relay" and not may_relay(parts, values.relay_hosts):
            yield "relay_hosts", f"does not list {parts.hostname}, to which auth = relay sends the caller's token"


def may_relay(parts: SplitResult, hosts: list[str]) -> bool:
    listed = {host.lower() for host in hosts}
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return bool({parts.hostname, f"{parts.hostname}:{port}", f"[{parts.hostname}]:{port}"} & listed)


def find_exposed(values: Any) -> Iterator[str]:
    """Return a sentence for each host that gets credentials in clear text: a ``url`` with ``http://``, except loopback.

    :param values: as in :func:`find_proxy_problems`.
    """
    auth = getattr(values, "auth", "")
    parts = [parts_of(url) for url in getattr(values, "url", None) or () if auth in CREDENTIALS]
    for host in dict.fromkeys(each.hostname for each in parts if each and each.scheme == "http"):
        if host and not is_loopback(host):
            yield f"auth = {auth} sends {CREDENTIALS[auth]} to {host} in clear text; use https://"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3


def find_in_auth(values: Any) -> Iterator[tuple[str, str]]:
    needs = {"basic": ("basic_username", "basic_password"), "mtls": ("certfile",), "relay": ("relay_hosts",)}
    auth = getattr(values, "auth", "")
    for option in needs.get(auth, ()):
        if not getattr(values, option, "unread"):
            yield option, f"required; auth = {auth} needs it"
    if getattr(values, "keyfile", None) and not getattr(values, "certfile", "unread"):
        yield "keyfile", "has no effect without certfile"
    if ":" in (getattr(values, "basic_username", None) or ""):
        yield "basic_username", "must not contain a colon (RFC 7617, 2)"


def find_in_files(values: Any) -> Iterator[tuple[str, str]]:
    paths = {name: getattr(values, name, None) for name in ("cafile", "certfile", "keyfile")}
    missing = [name for name, path in paths.items() if path and not Path(path).is_file()]
    for name in missing:
        yield name, f"{paths[name]} does not exist or cannot be read"
    if missing:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, reason in (
        ("cafile", "contains no PEM certificates, or cannot be read"),
        ("certfile", "is not a PEM certificate with its key (here or in keyfile), or cannot be read"),
    ):
        try:
            load(context, **{**dict.fromkeys(paths), name: paths[name], "keyfile": paths["keyfile"]})
        except OSError:  # ssl.SSLError is one
            yield name, reason


def tls_context(cafile: str | None, certfile: str | None, keyfile: str | None) -> ssl.SSLContext:
    """Return the TLS context of a proxy; certificates are always verified.

    :raises OSError: a file cannot be read, or is not in PEM.
    """
    if not cafile and not certfile:
        return system_trust()
    context = ssl.create_default_context(cafile=cafile)
    load(context, None, certfile, keyfile)
    return context


#: It takes 70 ms, which dozens of proxies would pay each.
system_trust: Final = lru_cache(maxsize=1)(ssl.create_default_context)


def load(context: ssl.SSLContext, cafile: str | None, certfile: str | None, keyfile: str | None) -> None:
    if cafile:
        context.load_verify_locations(cafile)
    if certfile:
        context.load_cert_chain(certfile, keyfile, password="")  # else OpenSSL would ask for it on the terminal
