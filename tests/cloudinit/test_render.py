"""``vendorsrv render``: the predicted cloud-config, findings, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support import real_peers as peers
from tests.support.serving import write_config
from vendorsrv.cli.main import main
from vendorsrv.cloudinit.dry_run import compare, dry_run
from vendorsrv.cloudinit.mime import join, numbered
from vendorsrv.cloudinit.parts import CloudConfig, Jinja, Script
from vendorsrv.cloudinit.render import append, override, render, static_text
from vendorsrv.cloudinit.schema import installed_schema
from vendorsrv.errors import ConfigError

CLOUDY = "tests.support.handlers.cloudy"
MAIL = ("mailserver", "--boot-roles", "mail-admin", "--hostname", "web-1")
PARTS = [
    CloudConfig({"ntp": {"servers": ["a"], "enabled": True}, "hostname": "vendor"}),
    CloudConfig({"ntp": {"servers": ["b"]}, "hostname": "second", "timezone": "UTC"}),
    Script("#!/bin/sh\n"),
]


def run(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["render", *map(str, arguments)])


def test_parts_static_and_user_data_are_merged() -> None:
    """Lists of parts are appended, the first of two values wins, and user-data overrides both."""
    user = b"#cloud-config\nhostname: user\nntp: {servers: [mine]}\nruncmd: [id]\n"
    rendered = render(join(numbered("x", PARTS)), user, "#cloud-config\ntimezone: CET\nlocale: C\n")
    assert {
        "hostname": "user",
        "ntp": {"servers": ["mine"], "enabled": True},
        "timezone": "UTC",
        "locale": "C",
        "runcmd": ["id"],
    } == rendered.config
    assert ["ntp.servers", "hostname"] == list(rendered.overridden)
    assert ["01-x-cloud-config", "02-x-cloud-config", "03-x-script"] == [part.name for part in rendered.parts]
    assert [] == list(rendered.findings)


@pytest.mark.parametrize(
    ("answer", "user_data", "finding"),
    [
        ("#cloud-config\nhostnme: a\n", b"", "hostnme: cloud-init has no such key; did you mean hostname?"),
        (
            join(numbered("x", [Jinja("#cloud-config\n")])),
            b"",
            "01-x-template: only the instance can render this template",
        ),
        (
            CloudConfig({"hostname": "a"}, merge="dict()").text,
            b"",
            "part-001: has its own merge_how, which only --check applies",
        ),
        (
            None,
            b"\x1f\x8b",
            "the user-data is ignored here: it is compressed or not a cloud-config; use --check",
        ),
        (
            None,
            b"#cloud-config\nvendor_data2: {enabled: false}",
            "the user-data disables dynamic vendor data: the instance ignores all of this",
        ),
        (
            None,
            b"#cloud-config\nvendor_data2: {disabled_handlers: [a]}",
            "the user-data disables some types of vendor data (vendor_data2.disabled_handlers)",
        ),
    ],
)
def test_findings(answer: str | None, user_data: bytes, finding: str) -> None:
    """Unknown keys, templates, own merge rules, unreadable user-data and opt-outs are findings."""
    assert [finding] == list(render(answer, user_data).findings)


def test_a_part_without_merge_how_replaces_keys() -> None:
    """A later part without a merge_how replaces the keys of earlier ones, as in cloud-init."""
    message = (
        'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\nContent-Type: text/cloud-config\n\n'
        "runcmd: [a]\n--==\nContent-Type: text/cloud-config\n\nruncmd: [b]\n--==--\n"
    )
    assert {"runcmd": ["b"]} == render(message).config


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [([1], [2], [1, 2]), ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}), (1, 2, 1), ([1], {"a": 1}, [1])],
)
def test_append(old: Any, new: Any, merged: Any) -> None:
    """The default merge_how appends lists, merges mappings and keeps the first of other values."""
    assert merged == append(old, new)


@pytest.mark.parametrize(
    ("high", "low", "merged"),
    [([1], [2], [1]), ({"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}), ([1], {"a": 1}, {"a": 1})],
)
def test_override(high: Any, low: Any, merged: Any) -> None:
    """The source with priority overrides values, except that a mapping replaces a list."""
    assert merged == override(high, low)


def test_static_vendor_data() -> None:
    """Only the value of cloud-init is read from Nova's file; invalid files are errors."""
    assert ("#!/bin/sh", "") == (static_text(b'{"cloud-init": "#!/bin/sh"}'), static_text(b'{"a": 1}'))
    for document in (b"{", b"[]", b'{"cloud-init": {}}'):
        with pytest.raises(ConfigError):
            static_text(document)


def test_a_handler_without_a_configuration() -> None:
    """Without a configuration file required options have their sample values, and each part is shown."""
    result = run(*MAIL)
    assert 0 == result.exit_code, result.output
    assert "--- 01-mailserver-cloud-config (text/cloud-config)" in result.output
    assert "--- 02-mailserver-postfix (text/x-shellscript)" in result.output
    assert "fqdn: web-1.example.org" in result.output


def test_json_output(tmp_path: Path) -> None:
    """--json prints all results; payload, user-data and static vendor data are read from files."""
    config = write_config(tmp_path, handlers=f"{CLOUDY}:Timezone")
    files = {
        "payload": b'{"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "metadata": {"parts": "timezone"}}',
        "user-data": b"#cloud-config\ntimezone: CET\n",
        "static": b'{"cloud-init": "#cloud-config\\nlocale: C\\n"}',
    }
    options = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        options += [f"--{name}", tmp_path / name]
    seen = json.loads(run("timezone", "--config-file", config, *options, "--json").output)
    assert {"timezone": "CET", "locale": "C"} == seen["config"]
    assert (["timezone"], [], None) == (seen["overridden"], seen["findings"], seen["check"])
    assert "text/cloud-config" == seen["parts"][0]["media_type"]


def test_no_parts_is_a_success() -> None:
    """When no handler returns a part, the output says so and the exit status is 0."""
    result = run(f"{CLOUDY}:Timezone")
    assert (0, "These handlers have nothing for cloud-init and this instance.\n") == (result.exit_code, result.output)
    assert {} == json.loads(run(f"{CLOUDY}:Timezone", "--json").output)["answer"]


def test_a_failing_handler_is_an_error(tmp_path: Path) -> None:
    """A handler's failure is printed with its name and the key, and the exit status is 1."""
    (tmp_path / "payload").write_text(
        '{"metadata": {"parts": "broken"}, "instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"}'
    )
    result = run(f"{CLOUDY}:Five", "--payload", tmp_path / "payload")
    assert 1 == result.exit_code
    assert (
        "vendorsrv: handler five: cloud-config hostnme: cloud-init has no such key; did you mean hostname?\n"
        == result.output
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("tests.support.handlers.good:Echo",),
            "handler echo has nothing for cloud-init: it has no cloud_init method",
        ),
        (("nosuch",), "handler nosuch: no installed package provides it"),
        (("mailserver", "--user-data", "/nonexistent"), "/nonexistent does not exist or cannot be read"),
    ],
)
def test_an_invalid_argument_is_an_error(arguments: tuple[str, ...], message: str) -> None:
    """An unusable handler or file is one line on standard error, and the exit status is 1."""
    result = run(*arguments)
    assert 1 == result.exit_code
    assert message in result.output


def test_check_shows_cloud_init_s_result() -> None:
    """--check prints what the installed cloud-init made of the answer."""
    needs_cloud_init()
    result = run(*MAIL, "--check")
    assert 0 == result.exit_code, result.output
    assert ": no problems\nruns at boot: 02-mailserver-postfix\n" in result.output


def test_a_dry_run_returns_problems() -> None:
    """Warnings, failures and schema violations of the installed cloud-init are problems."""
    needs_cloud_init()
    assert "cloud-init warns: Unhandled" in dry_run("hello").problems[0]
    assert "cloud-init fails: Exception" in dry_run("#include http://192.0.2.1/", b"#cloud-config\n{}").problems[0]
    assert ("cloud-init's schema: runcmd",) == dry_run("#cloud-config\nruncmd: x\n").problems
    assert {"hostname": "a"} == dry_run("#cloud-config\nhostname: a\n", b"", "#!/bin/sh\n").config


def test_a_problem_sets_the_exit_status(tmp_path: Path) -> None:
    """With --check, a problem that cloud-init reports makes the exit status 1."""
    needs_cloud_init()
    (tmp_path / "payload").write_text('{"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"}')
    result = run(f"{CLOUDY}:Rendering", "--check", "--payload", tmp_path / "payload")
    assert 1 == result.exit_code
    assert "problems\nproblem: cloud-init warns: " in result.output


def test_changed_user_data_is_a_problem() -> None:
    """A dry run whose user-data differ with the vendor data has a problem."""
    alone = {"user_config": {"a": 1}, "warnings": ["w"]}
    result = compare({"version": "1", "with": {"error": None, "warnings": ["w"], "schema": []}, "without": alone})
    assert ("the vendor data changes the user-data",) == result.problems


@pytest.mark.parametrize("python", ["/nonexistent", "/bin/true"])
def test_a_dry_run_requires_cloud_init(python: str) -> None:
    """Without an installed cloud-init, the error says what to install."""
    with pytest.raises(ConfigError, match=r"^--check requires cloud-init; install your distribution's package$"):
        dry_run("#!/bin/sh\n", python=python)


def needs_cloud_init() -> None:
    """Skip the test, or fail it in CI, when cloud-init is not installed."""
    peers.skip_if_unit()
    if not installed_schema():
        peers.missing("no real cloud-init: install Debian's package cloud-init")
