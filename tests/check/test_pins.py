"""The check of pins: the database, the keys, and overrides that contradict each other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.checking import GOOD, KEY, changed, findings

PINS = f"[pins]\nencryption_keys = {KEY}\n"
MEMORY = "[database]\nconnection = sqlite://\n"
SCATTERED = "each worker keeps pins in its own memory, so an instance gets different answers"
WHOEVER = "whoever can write to"
DECIDES = "decides what instances run as root"
PINNED_AND_CACHED = "pin and cache_for exclude each other: a pinned answer is read from the pin store each time"
UNPINNED = "pin = false and pin_for exclude each other: what it makes is pinned"
PINNED_AND_STALE = "pin and OnError.STALE exclude each other: a pinned answer is never stale"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({PINS: ""}, [": warning: [pins] encryption_keys: not set: the answers of mailserver are pinned unencrypted"]),
        ({PINS: "", "domain =": "pin = false\ndomain ="}, []),
        (
            {"domain =": "pin = false\npin_for = 5\ndomain ="},
            [f":12: error: [handler:mailserver] pin: {UNPINNED}"],
        ),
        (
            {KEY: "planted"},
            [":14: error: [pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64"],
        ),
        (
            {"[pins]": "[pins]\nallow_plain = true"},
            [f":14: warning: [pins] allow_plain: only for a migration: {WHOEVER} the database {DECIDES}"],
        ),
        (
            {"[pins]": "[cache]\nenabled = true\nbackend = dogpile.cache.redis\n[pins]"},
            [],
        ),
        (
            {PINS: "[cache]\nenabled = true\nbackend = dogpile.cache.redis\n", "domain =": "pin = false\ndomain ="},
            [f":16: warning: [cache] backend: without [pins] encryption_keys, {WHOEVER} it {DECIDES}"],
        ),
        (
            {PINS: "[cache]\nenabled = true\nbackend = dogpile.cache.memory\n", "domain =": "pin = false\ndomain ="},
            [],
        ),
        (
            {"encryption_keys": "encription_keys"},
            [
                ":13: warning: [pins] encryption_keys: not set: the answers of mailserver are pinned unencrypted",
                ":14: error: [pins] encription_keys: there is no such option; did you mean encryption_keys?",
            ],
        ),
        (
            {"[pins]": "[database]\nconection = sqlite://\n[pins]"},
            [":14: error: [database] conection: there is no such option; did you mean connection?"],
        ),
        (
            {"[pins]": "[cache]\nenabeld = true\n[pins]"},
            [":14: error: [cache] enabeld: there is no such option; did you mean enabled?"],
        ),
        (
            {"[pins]": f"{MEMORY}[pins]"},
            [":14: warning: [database] connection: the pins are kept in memory, and lost when the server stops"],
        ),
        ({"[pins]": f"{MEMORY}[pins]", "domain =": "pin = false\ndomain ="}, []),
        (
            {"port = 9090": "workers = 2", "[pins]": f"{MEMORY}[pins]"},
            [f":14: error: [database] connection: {SCATTERED}"],
        ),
        (
            {"domain =": "cache_for = 60\ndomain ="},
            [f":12: error: [handler:mailserver] cache_for: {PINNED_AND_CACHED}"],
        ),
        (
            {"domain =": "on_error = stale\ndomain ="},
            [f":12: error: [handler:mailserver] on_error: {PINNED_AND_STALE}"],
        ),
        ({"domain =": "pin = false\ncache_for = 60\ndomain ="}, []),
    ],
)
def test_each_mistake_about_pins_has_its_finding(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    """Each mistake in the options of pins is a finding at its line; a database that no handler uses is not checked."""
    assert [f"vendorsrv.conf{finding}" for finding in expected] == findings(tmp_path, changed(GOOD, changes))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("oracle://planted", "oracle is not one of sqlite, postgresql, mysql, mariadb"),
        ("planted", "not a database URL such as sqlite:////var/lib/x.db"),
        ("mysql://planted/x?plugin=dbcounter", "unknown option plugin in the URL; known are charset, init_command"),
        ("sqlite:////proc/version/state/pins.db", "this user cannot write /proc/version/state/pins.db"),
        ("sqlite:////etc", "this user cannot write /etc"),
    ],
)
def test_an_unusable_database_is_a_finding_at_its_url(tmp_path: Path, url: str, expected: str) -> None:
    """A database that cannot be used is an error at [database] connection, with the reason."""
    found = findings(tmp_path, changed(GOOD, {"[pins]": f"[database]\nconnection = {url}\n[pins]"}))
    assert [True] == [each.startswith(f"vendorsrv.conf:14: error: [database] connection: {expected}") for each in found]


def test_an_unwritable_state_path_is_a_finding(tmp_path: Path) -> None:
    """Without [database] connection, an unwritable file of pins is an error at state_path."""
    assert ["vendorsrv.conf:3: error: [vendorsrv] state_path: this user cannot write /proc/version/pins.db"] == (
        findings(tmp_path, changed(GOOD, {"port = 9090": "state_path = /proc/version"}))
    )


@pytest.mark.parametrize(
    ("driver", "section", "expected"),
    [
        (
            "asyncpg",
            "[database]\nconnection = postgresql://planted/x",
            "14: error: [database] connection: asyncpg is not installed: pip install 'vendorsrv[postgresql]'",
        ),
        (
            "asyncmy",
            "[database]\nconnection = mysql+pymysql://planted/x",
            "14: error: [database] connection: asyncmy is not installed: pip install 'vendorsrv[mysql]'",
        ),
        (
            "redis",
            "[cache]\nenabled = true\nbackend = dogpile.cache.redis",
            "13: error: [cache] backend: dogpile.cache.redis needs a driver: pip install 'vendorsrv[redis]'",
        ),
    ],
)
def test_an_absent_driver_is_named_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, section: str, expected: str
) -> None:
    """A driver that is not installed is an error with the pip command that installs it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == driver]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, driver, None)
    assert [f"vendorsrv.conf:{expected}"] == findings(tmp_path, changed(GOOD, {"[pins]": f"{section}\n[pins]"}))


def test_an_existing_file_of_pins_is_no_finding(tmp_path: Path) -> None:
    """An existing SQLite file in a writable folder has no finding."""
    (tmp_path / "pins.db").touch()
    assert [] == findings(tmp_path, changed(GOOD, {"port = 9090": f"state_path = {tmp_path}"}))
