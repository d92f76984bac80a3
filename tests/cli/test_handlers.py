"""vendorsrv handlers shows the enabled handlers, and vendorsrv config every option."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.support.checking import GOOD, KEY, changed, findings, write
from vendorsrv.cli.handlers import show
from vendorsrv.cli.main import main

BOTH = {
    "handlers = mailserver": "handlers = mailserver, tests.support.handlers.good:Plain",
    "domain =": "timeout = 2.5\npin = false\ncache_for = 60\non_error = empty\ndomain =",
    "[handler:m": "[handler:plain]\npin = true\nthreads = 2\nqueue = 0\n[handler:m",
}


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    """A configuration with two handlers."""
    return str(write(tmp_path / "vendorsrv.conf", changed(GOOD, BOTH)))


def test_piped_handlers_are_whole_columns(config_file: str) -> None:
    """Without a terminal each handler is one line, and no column is cut."""
    result = CliRunner().invoke(main, ["handlers", "--config-file", config_file])
    assert [
        [
            *(
                "name",
                "endpoint",
                "runs in",
                "timeout",
                "concurrency",
                "queue",
                "keeps answers",
                "on error",
                "facts",
                "public routes",
            ),
            *("source", "description"),
        ],
        [
            *("mailserver", "POST /mailserver", "event loop", "2.5 s (configured)", "64", "256", "60 s (configured)"),
            *("empty (configured)", "-", "-", "vendorsrv-example-mailserver 1.0.0"),
            "Make an instance a mail server when a mail administrator booted it.",
        ],
        [
            *("plain", "POST /plain", "thread", "4 s", "2 (configured)", "0 (configured)", "pinned (configured)"),
            *("fail", "-"),
            "/plain/key.json /plain/async-key.json /plain/broken.json",
            *("tests.support.handlers.good:Plain", "Run in a thread."),
        ],
    ] == [re.split(r" {2,}", line) for line in result.stdout.splitlines()]


def test_what_follows_from_the_class_is_not_called_configured(tmp_path: Path) -> None:
    """The limits of a handler that runs in threads are its class's, unless its section says otherwise."""
    changes = {"handlers = mailserver": "handlers = tests.support.handlers.good:Plain", "[handler:mailserver]": "[x]"}
    path = write(tmp_path / "vendorsrv.conf", changed(GOOD, changes))
    result = CliRunner().invoke(main, ["handlers", "--config-file", str(path)])
    assert ["plain", "POST /plain", "thread", "4 s", "8", "256"] == re.split(r" {2,}", result.stdout.splitlines()[1])[
        :6
    ]


def test_json_has_every_setting_and_the_names_of_overrides(config_file: str) -> None:
    """--json prints every setting of the handlers, and the names of those that the configuration overrides."""
    result = CliRunner().invoke(main, ["handlers", "--config-file", config_file, "--json"])
    assert {
        "name": "mailserver",
        "source": "vendorsrv-example-mailserver 1.0.0",
        "path": "/mailserver",
        "runs_in": "event loop",
        "timeout": 2.5,
        "threads": 8,
        "cache_for": 60.0,
        "pin": False,
        "pin_for": 0.0,
        "on_error": "empty",
        "ttl_from_upstream": False,
        "concurrency": 64,
        "queue": 256,
        "for_cloud_init": False,
        "required_for_ready": False,
        "verify": False,
        "needs": {},
        "rule_needs": [],
        "overridden": ["timeout", "cache_for", "pin", "on_error"],
        "routes": [],
        "description": "Make an instance a mail server when a mail administrator booted it.",
    } == json.loads(result.stdout)[0]


def test_facts_are_listed(tmp_path: Path) -> None:
    """The list has the facts that a handler needs, and those that its policy rule names."""
    handlers = "handlers = tests.facts.test_lookups:Other, tests.facts.test_lookups:Lenient"
    account = "[service_account]\nauth_type = none\n[handler:m"
    write(tmp_path / "policy.yaml", "vendordata:handler:other: not image_property:os_distro=rhel\n")
    path = write(tmp_path / "vendorsrv.conf", changed(GOOD, {"handlers = mailserver": handlers, "[handler:m": account}))
    _, other, lenient = CliRunner().invoke(main, ["handlers", "--config-file", str(path)]).stdout.splitlines()
    assert "server, project, image (policy)" == re.split(r" {2,}", other)[8]
    assert "server (optional), image (optional), project (optional)" == re.split(r" {2,}", lenient)[8]


def test_a_terminal_gets_a_table() -> None:
    """On a terminal the settings of a handler are listed below each other, also when it is narrow."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    show(
        [("plain", "POST /plain", "thread", "4 s", "2", "9", "-", "fail", "-", "-", "x 1", "Run in a thread.")], console
    )
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip("│ ") for line in console.file.getvalue().splitlines()]
    assert ["plain   │ Run in a thread.", "endpoint: POST /plain", "runs in: thread", "timeout: 4 s"] == lines[3:7]


def test_modes_shows_what_happens_when_a_handler_fails(config_file: str) -> None:
    """--modes prints what happens to an instance for each mode, with the handlers that have it."""
    result = CliRunner().invoke(main, ["handlers", "--config-file", config_file, "--modes"])
    lines = [re.split(r" {2,}", line) for line in result.stdout.splitlines()]
    assert [
        *("on_error", "when", "fatal", "config drive", "metadata service", "an instance that lives already", "handlers")
    ] == lines[0]
    assert [
        *("fail", "always", "on", "ERROR: vendorsrv's message, after up to three hosts"),
        "ACTIVE: this read of vendor_data2.json fails",
        *("ERROR at rebuild, resize, rescue and evacuate", "plain"),
    ] == lines[2]
    assert (["mailserver"], 9) == (lines[3][-1:], len(lines))


def test_modes_as_json(config_file: str) -> None:
    """--modes --json prints the same table as a list of objects."""
    result = CliRunner().invoke(main, ["handlers", "--config-file", config_file, "--modes", "--json"])
    assert {
        "on_error": "empty",
        "when": "always",
        "fatal": "off or on",
        "config drive": "ACTIVE: {} on the drive, for good",
        "metadata service": "ACTIVE: {} at this read",
        "an instance that lives already": "{} on its new drive",
        "handlers": "mailserver",
    } == json.loads(result.stdout)[2]


def test_a_handler_that_pins_for_a_time_is_listed_with_it(tmp_path: Path) -> None:
    """The list says for how long answers are pinned, and that an operator has set it."""
    path = write(tmp_path / "vendorsrv.conf", changed(GOOD, {"domain =": "pin_for = 300\ndomain ="}))
    assert "pinned for 300 s (configured)" in CliRunner().invoke(main, ["handlers", "--config-file", str(path)]).stdout


def test_a_handler_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    """A handler that cannot be loaded is one line on standard error, with a suggestion."""
    path = write(tmp_path / "vendorsrv.conf", changed(GOOD, {"handlers = mailserver": "handlers = mailservr"}))
    result = CliRunner().invoke(main, ["handlers", "--config-file", str(path)])
    assert (1, "vendorsrv: handler mailservr: no installed package provides it; did you mean mailserver?\n") == (
        result.exit_code,
        result.stderr,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            [],
            ["vendorsrv.conf: warning: [vendorsrv] handlers: no handler is enabled; there is nothing to serve"],
        ),
        (["--handler", "mailserver", "--handler", "tests.support.handlers.checked:Guarded"], []),
    ],
)
def test_the_sample_passes_the_check(tmp_path: Path, options: list[str], expected: list[str]) -> None:
    """The sample has no errors once CHANGE-ME is replaced and a key is set; without --handler it enables none."""
    result = CliRunner().invoke(main, ["config", *options])
    text = changed(result.stdout.replace("CHANGE-ME", "planted"), {"#encryption_keys =": f"encryption_keys = {KEY}"})
    assert expected == [re.sub(r"conf:\d+", "conf", line) for line in findings(tmp_path, text)]


def test_the_sample_begins_with_what_must_be_set() -> None:
    """The sample begins with the server's sections and the account, and ends with the libraries' sections."""
    lines = CliRunner().invoke(main, ["config", "--handler", "mailserver"]).stdout.splitlines()
    sections = [line for line in lines if line.startswith("[")]
    assert ["[vendorsrv]", "[handler:mailserver]", "[keystone_authtoken]"] == sections[:3]
    assert "[DEFAULT]" == sections[-1]


def test_a_sample_for_an_unknown_handler_is_an_error() -> None:
    """A sample for an unknown handler is one line on standard error, with a suggestion."""
    result = CliRunner().invoke(main, ["config", "--handler", "mailservr"])
    assert (1, "vendorsrv: handler mailservr: no installed package provides it; did you mean mailserver?\n") == (
        result.exit_code,
        result.stderr,
    )
