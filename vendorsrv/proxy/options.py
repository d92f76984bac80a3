"""What an operator may say of another vendordata server, and what cannot be right of it."""

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
    "mtls": "certfile and keyfile alone",
}
PROXY_OPTIONS: Final = (
    cfg.MultiStrOpt(
        "url",
        required=True,
        help="The other server, as it stands in nova.conf; several lines are tried in their order.",
        sample_default=["https://rack.example.org:9090/rack"],
    ),
    cfg.StrOpt("auth", default="none", choices=list(AUTH.items()), help="What the other server knows us by."),
    cfg.ListOpt("relay_hosts", default=[], help="Hosts, or host:port, that may be sent the token of auth = relay."),
    cfg.StrOpt("basic_username", help="For auth = basic."),
    cfg.StrOpt("basic_password", secret=True, help="For auth = basic."),
    cfg.StrOpt("cafile", help="PEM certificates that the other server's is checked with; the system's by default."),
    cfg.StrOpt("certfile", help="PEM certificate (chain) that the other server is shown."),
    cfg.StrOpt("keyfile", help="PEM private key of certfile; not needed when that file has it."),
    cfg.FloatOpt("connect_timeout", default=1.0, min=0.001, help="Seconds that connecting may take."),
    cfg.FloatOpt(
        "read_timeout",
        min=0.001,
        help="Seconds between two pieces of the answer; by default only timeout limits it, of which each url that is "
        "left gets the same share.",
    ),
)
#: Visible ASCII but what a URL has to escape.
URL: Final = re.compile(r"[!#-;=?-Z\[\]_a-z~]+")
#: What is worth stealing on the way, by ``auth``.
CREDENTIALS: Final = {"relay": "Nova's token", "service": "a token of our own", "basic": "the password"}


def parts_of(url: str) -> SplitResult | None:
    """Take a URL apart; None when no request can be sent to it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and URL.fullmatch(url) else None


def find_proxy_problems(conf: cfg.ConfigOpts, section: str, values: Any) -> list[Problem]:
    """Say what is wrong in a proxy's section besides values that are none of their type.

    :param values: the section's options as attributes; those that could not be read are not there.
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
            yield "url", "not an http:// or https:// URL; several stand in a line each, `url = …`"
        elif parts.username is not None:
            yield "url", "has credentials in it; use auth = basic"
        elif parts.fragment:
            yield "url", "has a fragment (#), which is never sent"
        elif parts.scheme == "http" and getattr(values, "auth", None) == "mtls":
            yield "url", "has http://, over which no certificate is shown; auth = mtls needs https://"
        elif getattr(values, "auth", None) == "relay" and not may_relay(parts, values.relay_hosts):
            yield "relay_hosts", f"does not have {parts.hostname}, and auth = relay sends the caller's token there"


def may_relay(parts: SplitResult, hosts: list[str]) -> bool:
    listed = {host.lower() for host in hosts}
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return bool({parts.hostname, f"{parts.hostname}:{port}", f"[{parts.hostname}]:{port}"} & listed)


def find_exposed(values: Any) -> Iterator[str]:
    """Say which credentials leave this machine as clear text: those for a ``url`` with ``http://``, loopback apart.

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
        yield "keyfile", "is of no use without certfile"
    if ":" in (getattr(values, "basic_username", None) or ""):
        yield "basic_username", "must not have a colon, which ends it (RFC 7617, 2)"


def find_in_files(values: Any) -> Iterator[tuple[str, str]]:
    paths = {name: getattr(values, name, None) for name in ("cafile", "certfile", "keyfile")}
    missing = [name for name, path in paths.items() if path and not Path(path).is_file()]
    for name in missing:
        yield name, f"{paths[name]} does not exist or cannot be read"
    if missing:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, reason in (
        ("cafile", "holds no PEM certificates, or cannot be read"),
        ("certfile", "is no PEM certificate with its key in keyfile or behind it, or cannot be read"),
    ):
        try:
            load(context, **{**dict.fromkeys(paths), name: paths[name], "keyfile": paths["keyfile"]})
        except OSError:  # ssl.SSLError is one
            yield name, reason


def tls_context(cafile: str | None, certfile: str | None, keyfile: str | None) -> ssl.SSLContext:
    """Give what certificates are checked with, and shown; there is no way to turn the check off.

    :raises OSError: a file cannot be read, or does not hold what it should.
    """
    if not cafile and not certfile:
        return system_trust()
    context = ssl.create_default_context(cafile=cafile)
    load(context, None, certfile, keyfile)
    return context


@lru_cache(maxsize=1)
def system_trust() -> ssl.SSLContext:
    # 70 ms, which dozens of proxies need not pay each.
    return ssl.create_default_context()


def load(context: ssl.SSLContext, cafile: str | None, certfile: str | None, keyfile: str | None) -> None:
    if cafile:
        context.load_verify_locations(cafile)
    if certfile:
        context.load_cert_chain(certfile, keyfile, password="")  # else it would be asked for on the terminal
