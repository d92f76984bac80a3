"""The check of the connections to Keystone and of those that the server accepts, and of unfilled values."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.checking import GOOD, GOOD_NOVA, changed, findings, found_in_nova_conf, write
from vendorsrv.cli.main import main


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"https://keystone.example.org:5000/v3": "keystone.example.org:5000/v3"},
            (
                "6: error: [vendordata_dynamic_auth] auth_url: "
                "must begin with http:// or https://, or Keystone is never reached"
            ),
        ),
        (
            {"https://keystone": "http://keystone"},
            (
                "6: warning: [vendordata_dynamic_auth] auth_url: "
                "the password and tokens cross the network unencrypted; use https"
            ),
        ),
        (
            {"timeout = 5": "timeout = 5\ninsecure = true"},
            (
                "11: warning: [vendordata_dynamic_auth] insecure: "
                "anybody on the network can answer in place of Keystone; set cafile"
            ),
        ),
        (
            {"timeout = 5": "timeout = 5\ncafile = /nonexistent/ca.pem"},
            (
                "11: warning: [vendordata_dynamic_auth] cafile: /nonexistent/ca.pem does not exist here; "
                "boots fail without it, although failures are not fatal"
            ),
        ),
        (
            {"password = planted": "password = CHANGE-ME"},
            "8: error: [vendordata_dynamic_auth] password: still has the sample's value CHANGE-ME",
        ),
    ],
)
def test_nova_s_way_to_keystone(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    """Each mistake in the account of a nova.conf gives its finding."""
    assert expected == found_in_nova_conf(tmp_path, GOOD, changed(GOOD_NOVA, changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"https://keystone.example.org:5000/v3": "keystone.example.org:5000/v3"},
            ["6: error: auth_url: must begin with http:// or https://, or Keystone is never reached"],
        ),
        (
            {"https://keystone": "http://keystone", "username": "insecure = true\nusername"},
            [
                "6: warning: auth_url: the password and tokens cross the network unencrypted; use https",
                "7: warning: insecure: anybody on the network can answer in place of Keystone; set cafile",
            ],
        ),
        ({"https://keystone.example.org": "http://127.0.0.1"}, []),
        (
            {"password = planted": "password = CHANGE-ME"},
            ["8: error: password: still has the sample's value CHANGE-ME"],
        ),
    ],
)
def test_the_server_s_way_to_keystone(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    """Each mistake in the server's own account gives its finding."""
    found = [each.replace("[keystone_authtoken] ", "") for each in findings(tmp_path, changed(GOOD, changes))]
    assert expected == [each.removeprefix("vendorsrv.conf:") for each in found]


#: A place where nobody can create a folder.
NOWHERE = "/proc/version/none"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"[vendorsrv]": f"[DEFAULT]\nlog_file = {NOWHERE}/x.log\n[vendorsrv]"},
            [f"2: error: [DEFAULT] log_file: this user cannot write there: {NOWHERE}/x.log"],
        ),
        (
            {"[vendorsrv]": f"[DEFAULT]\nlog_dir = {NOWHERE}\nlog_file = x.log\n[vendorsrv]"},
            [
                f"2: error: [DEFAULT] log_dir: this user cannot write there: {NOWHERE}",
                "3: error: [DEFAULT] log_file: this user cannot write there: x.log",
            ],
        ),
        ({"[vendorsrv]": "[DEFAULT]\nlog_dir = /tmp\n[vendorsrv]"}, []),
        (
            {"port = 9090": f"state_path = {NOWHERE}"},
            [f"3: error: [vendorsrv] state_path: this user cannot write {NOWHERE}/pins.db"],
        ),
        (
            {
                "port = 9090": f"state_path = {NOWHERE}",
                "handlers = mailserver": "handlers = tests.support.handlers.good:Plain",
                "[handler:mailserver]\ndomain = example.org\n": "",
            },
            [f"3: error: [vendorsrv] state_path: this user cannot write {NOWHERE}"],
        ),
    ],
)
def test_folders_that_cannot_be_written(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    """A folder for the log or the state that this user cannot write to is an error."""
    assert expected == [each.removeprefix("vendorsrv.conf:") for each in findings(tmp_path, changed(GOOD, changes))]


def test_a_note_is_no_failure_even_when_warnings_are(tmp_path: Path) -> None:
    """A note leaves the exit status at 0, with --strict too, as it may be right behind a load balancer."""
    path = write(tmp_path / "vendorsrv.conf", changed(GOOD, {"port = 9090": "host = 0.0.0.0"}))
    result = CliRunner().invoke(main, ["check", "--strict", "--config-file", str(path)])
    assert (0, 1) == (result.exit_code, result.stdout.count(": note: [vendorsrv] host: tokens and answers cross"))
