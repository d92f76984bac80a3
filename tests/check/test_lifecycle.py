"""What is wrong with [lifecycle], and with Nova's notifications for handlers that have `deleted`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from oslo_config import cfg

from vendorsrv.check.findings import IniFile
from vendorsrv.check.lifecycle import find_in_lifecycle, options_of_lifecycle
from vendorsrv.handlers.registry import FoundHandler, find
from vendorsrv.settings import parse_into

LEAVING = "tests.support.handlers.leaving:Leaving"
PLAIN = "tests.support.handlers.good:Plain"
URL = "transport_url = rabbit://x"
SENDS = "[oslo_messaging_notifications]\ndriver = messagingv2\ntransport_url = rabbit://x\n"
NEVER = "deleted of leaving is never called"
NONE = f"none of them is in [lifecycle] topics: {NEVER}"
ENOUGH = "not set: Nova sends unversioned notifications, which are enough"
SENDING = "[oslo_messaging_notifications]"


def findings(folder: Path, ours: str, nova: str | None = None, handlers: Sequence[str] = (LEAVING,)) -> list[str]:
    """Return what is found, without the files' names."""
    path, conf = folder / "ours.conf", cfg.ConfigOpts()
    path.write_text(f"[lifecycle]\n{ours}\n")
    parse_into(conf, path, "x")
    novas = None
    if nova is not None:
        (folder / "nova.conf").write_text(nova)
        novas = IniFile(folder / "nova.conf")
    found: list[FoundHandler] = find(handlers)[0]
    return [str(each).partition(": ")[2] for each in find_in_lifecycle(IniFile(path), conf, found, novas)]


def test_nothing_is_wrong_without_deleted(tmp_path: Path) -> None:
    """Where no handler has `deleted`, nobody needs Nova's notifications."""
    assert [] == findings(tmp_path, "", "", [PLAIN])


@pytest.mark.parametrize(
    ("ours", "nova", "found"),
    [
        ("", None, ["warning: [lifecycle] transport_url: not set: nobody calls deleted of leaving"]),
        (
            "pool = x\nremember_for = 1",
            "",
            ["error: [lifecycle] remember_for: Should be greater than or equal to 60"],
        ),
        (URL, None, []),
        (URL, "no section\n", []),
        (URL, f"{SENDS}[notifications]\nnotification_format = both\n", []),
        (URL, f"{SENDS}[notifications]\nnotification_format = versioned\n", []),
        (
            URL,
            "",
            [
                (f"warning: {SENDING} driver: not set: Nova sends no notifications, and {NEVER}; set messagingv2"),
                f"warning: {SENDING} transport_url: not set: Nova reaches no RabbitMQ, and {NEVER}",
                f"note: [notifications] notification_format: {ENOUGH}",
            ],
        ),
        (
            URL,
            (
                "[DEFAULT]\ntransport_url = rabbit://x\ncontrol_exchange = cell1\n"
                "[oslo_messaging_notifications]\ndriver = noop\n[notifications]\nnotification_format = unversioned\n"
            ),
            [
                (f"warning: {SENDING} driver: noop sends nothing to RabbitMQ, and {NEVER}; set messagingv2"),
                f"warning: [DEFAULT] control_exchange: not [lifecycle] exchange (nova): {NEVER}",
            ],
        ),
        (
            URL,
            f"{SENDS}[notifications]\nnotification_format = all\n",
            ["error: [notifications] notification_format: not one of unversioned, versioned, both"],
        ),
        (
            f"{URL}\ntopics = ours",
            f"{SENDS}topics = theirs, others\n[notifications]\nnotification_format = both\n",
            [f"warning: {SENDING} topics: {NONE}"],
        ),
        (
            f"{URL}\ntopics = notifications",
            f"{SENDS}[notifications]\nnotification_format = versioned\n",
            [f"warning: [notifications] versioned_notifications_topics: {NONE}"],
        ),
    ],
)
def test_what_keeps_deletes_away_is_found(ours: str, nova: str | None, found: list[str], tmp_path: Path) -> None:
    """Each option of either side without which `deleted` is never called is found."""
    lines = findings(tmp_path, ours, nova)
    assert found == [line.lstrip("0123456789").removeprefix(": ") for line in lines]


def test_rabbits_options_are_known_where_they_are_used() -> None:
    """The options of [oslo_messaging_rabbit] are known if the file has that section."""
    pytest.importorskip("oslo_messaging")
    assert {"lifecycle"} == set(options_of_lifecycle([]))
    known = options_of_lifecycle(["oslo_messaging_rabbit"])["oslo_messaging_rabbit"]
    assert "ssl_ca_file" in [each.dest for each in known]


def test_without_oslo_messaging_its_options_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where oslo.messaging is not installed, its section is unknown."""
    monkeypatch.setitem(sys.modules, "oslo_messaging", None)
    assert {"lifecycle"} == set(options_of_lifecycle(["oslo_messaging_rabbit"]))
