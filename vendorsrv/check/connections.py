"""Check the connections to Keystone and those that the server accepts, and values that nobody has filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.check.pins import is_writable
from vendorsrv.check.sample import CHANGE_ME
from vendorsrv.peers.addresses import ANY_ADDRESS
from vendorsrv.proxy.options import is_loopback
from vendorsrv.settings import GROUP, Settings

LOG_FILES = ("log_file", "log_dir")


def find_in_connections(
    ini: IniFile, settings: Settings, authtoken: str, account: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield the findings.

    :param authtoken: the section of the server's own account.
    :param account: its usable values.
    """
    yield from find_unfilled(ini)
    yield from find_in_keystone(ini, authtoken, account.get("auth_url"), insecure=bool(account.get("insecure")))
    for option in ("cafile", "certfile", "keyfile"):
        path = account.get(option)
        if path and not Path(path).is_file():
            yield ini.error(f"{path} does not exist or cannot be read", authtoken, option)
    if settings.host in ANY_ADDRESS and not settings.cert_file:
        reason = "tokens and answers cross the network unencrypted, unless TLS ends in front of this server"
        yield ini.note(reason, GROUP, "host")
    folder = Path(ini.values.get(("DEFAULT", "log_dir"), ""))
    for option in LOG_FILES:
        value = ini.values.get(("DEFAULT", option), "")
        if value and not is_writable(folder / (value if option == "log_file" else "vendorsrv.log")):
            yield ini.error(f"this user cannot write there: {value}", "DEFAULT", option)


def find_unfilled(ini: IniFile) -> Iterator[Finding]:
    """Yield an error for each value of a sample that nobody has filled in."""
    for (section, option), value in ini.values.items():
        if CHANGE_ME in value:
            yield ini.error(f"still has the sample's value {CHANGE_ME}", section, option)


def find_in_keystone(ini: IniFile, section: str, auth_url: str | None, *, insecure: bool) -> Iterator[Finding]:
    """Yield what is wrong with the way to Keystone, of this server or of Nova."""
    parts = urlsplit(auth_url or "")
    if auth_url and parts.scheme not in ("http", "https"):
        yield ini.error("must begin with http:// or https://, or Keystone is never reached", section, "auth_url")
    elif parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield ini.warning("the password and tokens cross the network unencrypted; use https", section, "auth_url")
    if insecure:
        yield ini.warning("anybody on the network can answer in place of Keystone; set cafile", section, "insecure")
