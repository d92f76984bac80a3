"""Check ``[lifecycle]``, and whether Nova says what handlers with ``deleted`` have to hear."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from oslo_config import cfg

from vendorsrv.check.findings import Declared, Finding, IniFile
from vendorsrv.errors import ConfigError
from vendorsrv.handler import defines_deleted
from vendorsrv.handlers.registry import FoundHandler
from vendorsrv.lifecycle.options import GROUP, MESSAGING, OPTIONS
from vendorsrv.settings import read

#: Nova's section of oslo.messaging, and that of the format.
SENDING: Final = "oslo_messaging_notifications"
FORMAT: Final = ("notifications", "notification_format")
FORMATS: Final = ("unversioned", "versioned", "both")
#: Drivers that send to RabbitMQ.
DRIVERS: Final = frozenset({"messaging", "messagingv2"})


def options_of_lifecycle(sections: Collection[str]) -> Declared:
    """Return the options of ``[lifecycle]``, and oslo.messaging's of RabbitMQ if the file has some."""
    found: dict[str, Sequence[cfg.Opt]] = {GROUP: OPTIONS}
    if MESSAGING in sections:
        from vendorsrv.lifecycle.listener import load_messaging

        with suppress(ConfigError):
            found[MESSAGING] = load_messaging()[1]
    return found


def find_in_lifecycle(
    ini: IniFile, conf: cfg.ConfigOpts, handlers: Sequence[FoundHandler], nova: IniFile | None
) -> Iterator[Finding]:
    """Yield what is wrong with ``[lifecycle]``, and with Nova's notifications if a handler has ``deleted``.

    :param nova: a nova.conf.
    """
    values, problems = read(conf, GROUP, OPTIONS)
    yield from (ini.error(each.message, each.section, each.option) for each in problems)
    names = ", ".join(each.handler.name for each in handlers if defines_deleted(each.handler))
    if not names or problems:
        return
    if not values["transport_url"]:
        yield ini.warning(f"not set: nobody calls deleted of {names}", GROUP, "transport_url")
    if nova and not nova.broken:
        yield from find_in_notifications(nova, values, names)


def find_in_notifications(nova: IniFile, ours: dict[str, Any], names: str) -> Iterator[Finding]:
    """Yield why a nova.conf does not send what we read."""
    never = f"deleted of {names} is never called"
    driver = nova.values.get((SENDING, "driver"), "").strip()
    if driver not in DRIVERS:
        reason = f"{driver} sends nothing to RabbitMQ" if driver else "not set: Nova sends no notifications"
        yield nova.warning(f"{reason}, and {never}; set messagingv2", SENDING, "driver")
    if not any(nova.values.get((section, "transport_url")) for section in (SENDING, "DEFAULT")):
        yield nova.warning(f"not set: Nova reaches no RabbitMQ, and {never}", SENDING, "transport_url")
    exchange = nova.values.get(("DEFAULT", "control_exchange"), "nova").strip()
    if exchange != ours["exchange"]:
        yield nova.warning(f"not [lifecycle] exchange ({ours['exchange']}): {never}", "DEFAULT", "control_exchange")
    yield from find_in_format(nova, ours, never)


def find_in_format(nova: IniFile, ours: dict[str, Any], never: str) -> Iterator[Finding]:
    form = nova.values.get(FORMAT, "").strip()
    if not form:
        yield nova.note("not set: Nova sends unversioned notifications, which are enough", *FORMAT)
    elif form not in FORMATS:
        yield nova.error(f"not one of {', '.join(FORMATS)}", *FORMAT)
        return
    places = {
        "unversioned": (SENDING, "topics", "notifications"),
        "versioned": ("notifications", "versioned_notifications_topics", "versioned_notifications"),
    }
    used = places.values() if form == "both" else [places[form or "unversioned"]]
    sent = {
        topic.strip() for section, name, usual in used for topic in nova.values.get((section, name), usual).split(",")
    }
    if not sent & {*ours["topics"]}:
        section, name, _ = places[form if form == "versioned" else "unversioned"]
        yield nova.warning(f"none of them is in [lifecycle] topics: {never}", section, name)
