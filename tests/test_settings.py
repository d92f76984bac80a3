"""The configuration is read into frozen values, or one ConfigError names everything that is wrong."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, write
from tests.support.handlers.checked import Guarded
from vendorsrv.declarations import OnError
from vendorsrv.errors import ConfigError
from vendorsrv.settings import Settings, default_state_path, open_config, read_handler


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the configuration."""
    return tmp_path / "vendorsrv.conf"


def test_values_are_read_and_frozen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are read-only, and an environment variable overrides the file."""
    monkeypatch.setenv("OS_VENDORSRV__WORKERS", "3")
    settings = Settings.from_file(write(path, changed(GOOD, {"port = 9090": "port = 9091\nworkers = 2"})))
    assert ("127.0.0.1", 9091, 3, ("mailserver",), 4.5) == (
        settings.host,
        settings.port,
        settings.workers,
        settings.handlers,
        settings.request_timeout,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


def test_every_wrong_value_is_named(path: Path) -> None:
    """One ConfigError names every bad value of the file."""
    write(path, changed(GOOD, {"port = 9090": "port = many\nworkers = 0"}))
    with pytest.raises(ConfigError) as caught:
        Settings.from_file(path)
    assert (
        "[vendorsrv] port: invalid literal for int() with base 10: 'many'\n"
        "[vendorsrv] workers: Should be greater than or equal to 1"
    ) == str(caught.value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_time_must_be_finite(path: Path, value: str) -> None:
    """NaN and infinity are refused as a number of seconds."""
    write(path, changed(GOOD, {"port = 9090": f"port = 9090\nbody_timeout = {value}"}))
    with pytest.raises(ConfigError, match=r"^\[vendorsrv\] body_timeout: "):
        Settings.from_file(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "does not exist or cannot be read"),
        (b"[vendorsrv]\nhost = \xff\n", "is not a text file in UTF-8"),
        (b"[vendorsrv]\nplanted\n", "line 2 is neither a section nor an option"),
    ],
)
def test_a_file_that_cannot_be_read(path: Path, content: bytes | None, expected: str) -> None:
    """The error for an unreadable file gives the reason and the line, and quotes nothing of the file."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Settings.from_file(path)
    assert expected == str(caught.value).removeprefix(f"{path}").lstrip(": ")


def test_a_directory_cannot_be_read(tmp_path: Path) -> None:
    """A directory in place of the file is a ConfigError."""
    with pytest.raises(ConfigError, match=r"does not exist or cannot be read$"):
        open_config(tmp_path)


def test_the_section_of_a_handler(path: Path) -> None:
    """The handler's options are attributes without a repr, and the common ones override the class."""
    section = "[handler:guarded]\ncode = 1234\nrack = a\nrack = b\ntimeout = 2\non_error = empty\n"
    values, overrides, problems = read_handler(open_config(write(path, GOOD + section)), Guarded)
    assert ("1234", ["a", "b"], {"timeout": 2.0, "on_error": OnError.EMPTY}, []) == (
        values.code,
        values.rack,
        overrides,
        problems,
    )
    assert "1234" not in repr(values)


def test_a_bad_secret_is_not_quoted(path: Path) -> None:
    """The message about a bad value of a secret option does not contain the value."""
    conf = open_config(write(path, f"{GOOD}[handler:guarded]\ncode = planted\nrow = planted$x\n"))
    assert [
        ("handler:guarded", "code", "not a valid value"),
        ("handler:guarded", "row", "contains an unescaped $; write $$"),
    ] == [tuple(problem) for problem in read_handler(conf, Guarded)[2]]


@pytest.mark.parametrize(
    ("user", "variables", "expected"),
    [
        (0, {}, "/var/lib/vendorsrv"),
        (1000, {"XDG_STATE_HOME": "/state"}, "/state/vendorsrv"),
        (1000, {"XDG_STATE_HOME": "", "HOME": "/home/x"}, "/home/x/.local/state/vendorsrv"),
    ],
)
def test_the_default_state_path(
    monkeypatch: pytest.MonkeyPatch, user: int, variables: dict[str, str], expected: str
) -> None:
    """State is in /var/lib for root, and in the XDG state directory of other users."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expected == default_state_path()


def test_trusted_proxies_are_addresses_and_networks(path: Path) -> None:
    """A trusted proxy is an address or a network, of either version of IP."""
    write(path, changed(GOOD, {"port = 9090": "trusted_proxies = 10.0.0.10, 192.0.2.0/24, 2001:db8::/32"}))
    networks = Settings.from_file(path).trusted_proxies
    assert ["10.0.0.10/32", "192.0.2.0/24", "2001:db8::/32"] == [str(each) for each in networks]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("haproxy", "'haproxy' does not appear to be an IPv4 or IPv6 network"),
        ("10.0.0.1/24", "10.0.0.1/24 has host bits set"),
    ],
)
def test_a_trusted_proxy_that_is_no_network_is_refused(path: Path, value: str, reason: str) -> None:
    """A name, or an address with the length of a prefix, is no trusted proxy."""
    write(path, changed(GOOD, {"port = 9090": f"trusted_proxies = {value}"}))
    with pytest.raises(ConfigError) as caught:
        Settings.from_file(path)
    assert f"[vendorsrv] trusted_proxies: {reason}" == str(caught.value)
