"""Check the options of pins: the database, the keys, and which handlers pin."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.declarations import STORAGE, is_pinned, storage_contradictions
from vendorsrv.encryption import read_keys
from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler, defines_prepare
from vendorsrv.settings import GROUP, Settings

DATABASE = ("database", "connection")
KEYS = ("pins", "encryption_keys")
STATE = (GROUP, "state_path")


def find_in_pins(ini: IniFile, settings: Settings, pinning: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings about ``[database]`` and ``[pins]``, without a connection to the database.

    :param pinning: the names of the handlers that pin.
    """
    if pinning or DATABASE in ini.options:
        yield from find_in_store(ini, settings, bool(pinning))
    elif STATE in ini.options and not is_writable(Path(settings.state_path) / "pins.db"):
        yield ini.error(f"this user cannot write {settings.state_path}", *STATE)
    try:
        read_keys(settings.encryption_keys)
    except ConfigError as error:
        yield ini.error(without_place(error, *KEYS), *KEYS)
    if pinning and not settings.encryption_keys:
        yield ini.warning(f"not set: the answers of {', '.join(pinning)} are pinned unencrypted", *KEYS)
    if settings.allow_plain:
        reason = "only for a migration: whoever can write to the database decides what instances run as root"
        yield ini.warning(reason, "pins", "allow_plain")


def find_in_store(ini: IniFile, settings: Settings, used: bool) -> Iterator[Finding]:
    # SQLAlchemy takes a fifth of a worker's memory: import it only when something is pinned.
    from vendorsrv.database.engine import Database
    from vendorsrv.database.url import async_url

    try:
        database = Database(async_url(settings.database), timeout=1.0)
    except ConfigError as error:
        yield ini.error(without_place(error, *DATABASE), *DATABASE)
        return
    if not used:
        return
    if database.in_memory and settings.workers > 1:
        yield ini.error("each worker keeps pins in its own memory, so an instance gets different answers", *DATABASE)
    elif database.in_memory:
        yield ini.warning("the pins are kept in memory, and lost when the server stops", *DATABASE)
    if database.file and not is_writable(database.file):
        where = DATABASE if DATABASE in ini.options else (GROUP, "state_path")
        yield ini.error(f"this user cannot write {database.file}", *where)


def is_writable(path: Path) -> bool:
    """Whether SQLite can write a file and its log beside it, or create them."""
    folder = path.parent
    if path.exists():
        return path.is_file() and os.access(path, os.R_OK | os.W_OK) and os.access(folder, os.W_OK | os.X_OK)
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def will_pin(handler: type[Handler], overrides: Mapping[str, Any]) -> bool:
    """Whether a handler's answers are pinned, with the overrides of its section."""
    pin, pin_for = (overrides.get(name, getattr(handler, name)) for name in ("pin", "pin_for"))
    return is_pinned(pin, pin_for, prepares=defines_prepare(handler))


def find_contradictory_overrides(
    ini: IniFile, handler: type[Handler], overrides: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield the overrides of a handler's section that contradict each other or the class."""
    holds = {name: overrides.get(name, getattr(handler, name)) for name in STORAGE}
    option = next((name for name in STORAGE if name in overrides), None)
    for reason in storage_contradictions(**holds, prepares=defines_prepare(handler)):
        yield ini.error(reason, handler.section, option)


def without_place(error: ConfigError, section: str, option: str) -> str:
    """Return the text of an error without the name of its option, which a finding adds itself."""
    return str(error).removeprefix(f"[{section}] {option}: ")
