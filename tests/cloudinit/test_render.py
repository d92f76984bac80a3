"""``vendorsrv render``: what is shown of an instance's cloud-config, and what the exit status says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support import real_peers as peers
from tests.support.serving import write_config
from vendorsrv.cli.main import main
from vendorsrv.cloudinit.dry_run import check, judge
from vendorsrv.cloudinit.mime import join, numbered
from vendorsrv.cloudinit.parts import CloudConfig, Jinja, Script
from vendorsrv.cloudinit.render import into, over, render, static_text
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


def test_parts_and_users_are_merged() -> None:
    """Lists of parts grow, the first of two values holds, and the user's goes over both."""
    user = b"#cloud-config\nhostname: user\nntp: {servers: [mine]}\nruncmd: [id]\n"
    rendered = render(join(numbered("x", PARTS)), user, "#cloud-config\ntimezone: CET\nlocale: C\n")
    assert {
        "hostname": "user",
        "ntp": {"servers": ["mine"], "enabled": True},
        "timezone": "UTC",
        "locale": "C",
        "runcmd": ["id"],
    } == rendered.config
    assert ["ntp.servers", "hostname"] == list(rendered.erased)
    assert ["01-x-cloud-config", "02-x-cloud-config", "03-x-script"] == [part.name for part in rendered.parts]
    assert [] == list(rendered.findings)


@pytest.mark.parametrize(
    ("answer", "user_data", "finding"),
    [
        ("#cloud-config\nhostnme: a\n", b"", "hostnme: cloud-init has no such key; did you mean hostname?"),
        (join(numbered("x", [Jinja("#cloud-config\n")])), b"", "01-x-template: only the instance can render it"),
        (
            CloudConfig({"hostname": "a"}, merge="dict()").text,
            b"",
            "part-001: has its own merge_how, which only --check follows",
        ),
        (
            None,
            b"\x1f\x8b",
            "the user-data cannot be read here (compressed, or no cloud-config); --check shows more",
        ),
        (
            None,
            b"#cloud-config\nvendor_data2: {enabled: false}",
            "the user-data turns dynamic vendor data off: nothing of this reaches the instance",
        ),
        (
            None,
            b"#cloud-config\nvendor_data2: {disabled_handlers: [a]}",
            "the user-data turns some types of vendor data off (vendor_data2.disabled_handlers)",
        ),
    ],
)
def test_findings(answer: str | None, user_data: bytes, finding: str) -> None:
    """What a vendor should know besides."""
    assert [finding] == list(render(answer, user_data).findings)


def test_a_part_without_a_rule_replaces_keys() -> None:
    """As in any cloud-init, where another server made the parts."""
    message = (
        'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\nContent-Type: text/cloud-config\n\n'
        "runcmd: [a]\n--==\nContent-Type: text/cloud-config\n\nruncmd: [b]\n--==--\n"
    )
    assert {"runcmd": ["b"]} == render(message).config


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [([1], [2], [1, 2]), ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}), (1, 2, 1), ([1], {"a": 1}, [1])],
)
def test_into(old: Any, new: Any, merged: Any) -> None:
    """Our rule between parts."""
    assert merged == into(old, new)


@pytest.mark.parametrize(
    ("high", "low", "merged"),
    [([1], [2], [1]), ({"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}), ([1], {"a": 1}, {"a": 1})],
)
def test_over(high: Any, low: Any, merged: Any) -> None:
    """cloud-init's rule between sources, with its mapping that beats a list."""
    assert merged == over(high, low)


def test_static_vendor_data() -> None:
    """What stands under cloud-init in Nova's file, and nothing else of it."""
    assert ("#!/bin/sh", "") == (static_text(b'{"cloud-init": "#!/bin/sh"}'), static_text(b'{"a": 1}'))
    for document in (b"{", b"[]", b'{"cloud-init": {}}'):
        with pytest.raises(ConfigError):
            static_text(document)


def test_the_mail_server_without_a_configuration() -> None:
    """Its options' sample values stand in; every part is shown."""
    result = run(*MAIL)
    assert 0 == result.exit_code, result.output
    assert "--- 01-mailserver-cloud-config (text/cloud-config)" in result.output
    assert "--- 02-mailserver-postfix (text/x-shellscript)" in result.output
    assert "fqdn: web-1.example.org" in result.output


def test_as_json(tmp_path: Path) -> None:
    """Everything, for a program; from files, and for a handler that the configuration knows by its class."""
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
    assert (["timezone"], [], None) == (seen["erased"], seen["findings"], seen["check"])
    assert "text/cloud-config" == seen["parts"][0]["media_type"]


def test_nothing_for_this_instance() -> None:
    """Is said, and is no failure."""
    result = run(f"{CLOUDY}:Timezone")
    assert (0, "Nothing for cloud-init from these handlers, for this instance.\n") == (result.exit_code, result.output)
    assert {} == json.loads(run(f"{CLOUDY}:Timezone", "--json").output)["answer"]


def test_a_broken_handler_names_the_key(tmp_path: Path) -> None:
    """And the exit status is 1."""
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
            "handler echo gives nothing to cloud-init: it has no cloud_init method",
        ),
        (("nosuch",), "handler nosuch: no installed package has it"),
        (("mailserver", "--user-data", "/nonexistent"), "/nonexistent does not exist or cannot be read"),
    ],
)
def test_what_cannot_be_rendered(arguments: tuple[str, ...], message: str) -> None:
    """Is a line on standard error, and exit status 1."""
    result = run(*arguments)
    assert 1 == result.exit_code
    assert message in result.output


def test_the_real_cloud_init_agrees() -> None:
    """With --check the verdict of the installed one is shown, and decides about the exit status."""
    needs_cloud_init()
    result = run(*MAIL, "--check")
    assert 0 == result.exit_code, result.output
    assert " has read it: as meant\nto be run: 02-mailserver-postfix\n" in result.output


def test_the_real_cloud_init_says_no() -> None:
    """What it warns of, what fails, and what its schema says are problems."""
    needs_cloud_init()
    assert "cloud-init warns: Unhandled" in check("hello").problems[0]
    assert "cloud-init fails: Exception" in check("#include http://192.0.2.1/", b"#cloud-config\n{}").problems[0]
    assert ("cloud-init's schema: runcmd",) == check("#cloud-config\nruncmd: x\n").problems
    assert {"hostname": "a"} == check("#cloud-config\nhostname: a\n", b"", "#!/bin/sh\n").config


def test_a_problem_decides(tmp_path: Path) -> None:
    """What the real cloud-init refuses is exit status 1."""
    needs_cloud_init()
    (tmp_path / "payload").write_text('{"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"}')
    result = run(f"{CLOUDY}:Rendering", "--check", "--payload", tmp_path / "payload")
    assert 1 == result.exit_code
    assert "with problems\nproblem: cloud-init warns: " in result.output


def test_user_data_that_changed_is_a_problem() -> None:
    """Whatever made it so."""
    alone = {"user_config": {"a": 1}, "warnings": ["w"]}
    verdict = judge({"version": "1", "with": {"error": None, "warnings": ["w"], "schema": []}, "without": alone})
    assert ("the user-data is not what it is without the vendor data",) == verdict.problems


@pytest.mark.parametrize("python", ["/nonexistent", "/bin/true"])
def test_a_machine_without_cloud_init(python: str) -> None:
    """Says what to install."""
    with pytest.raises(ConfigError, match=r"^--check needs cloud-init: install the package of your distribution$"):
        check("#!/bin/sh\n", python=python)


def needs_cloud_init() -> None:
    """Skip where there is none."""
    peers.ask()
    if installed_schema() is None:
        peers.missing("no real cloud-init: install Debian's package cloud-init")
