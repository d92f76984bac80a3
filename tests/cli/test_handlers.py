"""The commands `handlers` and `config` show what there is to serve and to set."""

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


def test_handlers_in_columns(config_file: str) -> None:
    """Piped, each handler is one line, and no column is cut."""
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
                "public routes",
            ),
            *("source", "description"),
        ],
        [
            *("mailserver", "POST /mailserver", "event loop", "2.5 s (configured)", "64", "256", "60 s (configured)"),
            *("empty (configured)", "-", "vendorsrv-example-mailserver 1.0.0"),
            "Make an instance a mail server when a mail administrator booted it.",
        ],
        [
            *("plain", "POST /plain", "thread", "4 s", "2 (configured)", "0 (configured)", "pinned (configured)"),
            "fail",
            "/plain/key.json /plain/async-key.json /plain/broken.json",
            *("tests.support.handlers.good:Plain", "Run in a thread."),
        ],
    ] == [re.split(r" {2,}", line) for line in result.stdout.splitlines()]


def test_handlers_as_json(config_file: str) -> None:
    """A program gets everything that is declared, and the names of what the configuration overrides."""
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
        "on_error": "empty",
        "ttl_from_upstream": False,
        "concurrency": 64,
        "queue": 256,
        "for_cloud_init": False,
        "overridden": ["timeout", "cache_for", "pin", "on_error"],
        "routes": [],
        "description": "Make an instance a mail server when a mail administrator booted it.",
    } == json.loads(result.stdout)[0]


def test_a_terminal_gets_a_table() -> None:
    """A narrow one, too: what a handler is stands below each other."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    show([("plain", "POST /plain", "thread", "4 s", "2", "9", "-", "fail", "-", "x 1", "Run in a thread.")], console)
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip("│ ") for line in console.file.getvalue().splitlines()]
    assert ["plain   │ Run in a thread.", "endpoint: POST /plain", "runs in: thread", "timeout: 4 s"] == lines[3:7]


def test_what_becomes_of_an_instance(config_file: str) -> None:
    """The whole table is shown, with the enabled handlers of each mode."""
    result = CliRunner().invoke(main, ["handlers", "--config-file", config_file, "--modes"])
    lines = [re.split(r" {2,}", line) for line in result.stdout.splitlines()]
    assert ["on_error", "when", "fatal", "config drive", "metadata service", "handlers"] == lines[0]
    assert [
        *("fail", "always", "on", "ERROR: our message, after up to three hosts"),
        *("ACTIVE: this read of vendor_data2.json fails", "plain"),
    ] == lines[2]
    assert (["mailserver"], 8) == (lines[3][-1:], len(lines))


def test_what_becomes_of_an_instance_as_json(config_file: str) -> None:
    """A program gets the same."""
    result = CliRunner().invoke(main, ["handlers", "--config-file", config_file, "--modes", "--json"])
    assert {
        "on_error": "empty",
        "when": "always",
        "fatal": "off or on",
        "config drive": "ACTIVE: {} on the drive, for good",
        "metadata service": "ACTIVE: {} at this read",
        "handlers": "mailserver",
    } == json.loads(result.stdout)[2]


def test_a_handler_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    """The command says which one, and what there is."""
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
            ["vendorsrv.conf:14: warning: [vendorsrv] handlers: no handler is enabled; there is nothing to serve"],
        ),
        (["--handler", "mailserver", "--handler", "tests.support.handlers.checked:Guarded"], []),
    ],
)
def test_the_sample_is_a_configuration(tmp_path: Path, options: list[str], expected: list[str]) -> None:
    """The check accepts it, once CHANGE-ME is replaced and a key is there; alone, it enables no handler."""
    result = CliRunner().invoke(main, ["config", *options])
    text = changed(result.stdout.replace("CHANGE-ME", "planted"), {"#encryption_keys =": f"encryption_keys = {KEY}"})
    assert expected == findings(tmp_path, text)


def test_the_sample_begins_with_what_must_be_set() -> None:
    """Our own sections first, then the account, and the libraries' at the end."""
    lines = CliRunner().invoke(main, ["config", "--handler", "mailserver"]).stdout.splitlines()
    sections = [line for line in lines if line.startswith("[")]
    assert ["[vendorsrv]", "[handler:mailserver]", "[keystone_authtoken]"] == sections[:3]
    assert "[DEFAULT]" == sections[-1]


def test_a_sample_for_a_handler_that_is_not_there() -> None:
    """The command says what there is instead."""
    result = CliRunner().invoke(main, ["config", "--handler", "mailservr"])
    assert (1, "vendorsrv: handler mailservr: no installed package provides it; did you mean mailserver?\n") == (
        result.exit_code,
        result.stderr,
    )
