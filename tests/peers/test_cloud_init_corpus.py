"""A corpus of cloud-configs and messages: the guard's verdict on each text is that of the real cloud-init."""

from __future__ import annotations

import tempfile
from base64 import encodebytes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.peers.cloud_init import CloudInit
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.errors import CloudInitError

MIME: Final = 'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n'
CONFIG: Final = "Content-Type: text/cloud-config\n"
#: A part before the one in question; what is in the instance afterwards tells how they were merged.
FIRST: Final = f"--b\n{CONFIG}\n#cloud-config\nruncmd: [first]\n"

#: Cloud-configs without their first line, and whether cloud-init takes them.
CONFIGS: Final[Mapping[str, tuple[str, bool]]] = {
    "tab before a comment": ("ntp:\n  servers: [a.example.org]\t# the site\n", False),
    "tab after a colon": ("hostname:\tx\n", False),
    "tab after a comma": ("runcmd: [a,\tb]\n", False),
    "tab after a dash": ("runcmd:\n-\ta\n", False),
    "tab before a key": ("ntp:\n\tenabled: true\n", False),
    "tab in a plain text": ("runcmd:\n- a\tb\n", False),
    "tab at the end of a line": ("hostname: x\t\n", False),
    "tab after a block's header": ("bootcmd:\n- |\t\n  x\n", False),
    "comment close to a block's header": ("bootcmd:\n- |#x\n  x\n", False),
    "block that ends in a comment of the shell": ("bootcmd:\n- |\n  a |#x\n", True),
    "unknown directive": ("%X\n---\nhostname: x\n", True),
    "tab in a comment": ("hostname: x #\t\n", True),
    "tab in quotes": ("runcmd: ['a\tb']\n", True),
    "tab in double quotes": ('runcmd: ["a\tb"]\n', True),
    "tab in a block": ("bootcmd:\n- |\n  all:\n  \tcc\n", True),
    "tab at the start of a block": ("bootcmd:\n- |\n  \tcc\n", True),
    "tab in an empty line": ("hostname: x\n\t\nruncmd: [a]\n", False),
    "question mark in a flow": ("runcmd:\n- [curl, http://h/x?a=b]\n", False),
    "question mark at the end in a flow": ("runcmd: [really?]\n", False),
    "question mark at the start in a flow": ("runcmd: [[a, ?b]]\n", True),
    "question mark in a flow mapping": ("runcmd: [a]\nntp: {servers: [h?x]}\n", False),
    "question mark in a block": ("runcmd:\n- curl http://h/x?a=b\n", True),
    "question mark in quotes in a flow": ("runcmd: ['http://h/x?a=b']\n", True),
    "complex key": ("? hostname\n: x\n", True),
    "byte order mark within": ("hostname: x\n\ufeffruncmd: [a]\n", True),
    "octal permissions": ("write_files:\n- {path: /a, permissions: 0644}\n", True),
    "sudo as a list": ("users:\n- {name: a, sudo: [x, y]}\n", True),
    "binary content": ("write_files:\n- {path: /a, content: !!binary aGk=}\n", True),
    "numbers in commands": ("runcmd:\n- [sleep, 5]\n", True),
    "modules of the image": ("cloud_final_modules: [its-own]\n", True),
    "a list to pull": ("ansible: {pull: [{url: x, playbook_name: y}]}\n", True),
    "a GUID in a layout": ("disk_setup: {/dev/a: {layout: [[50, 8DA63339-0007-60C0-C436-083AC8230908]]}}\n", True),
    "packages of a manager": ("packages:\n- apt: [vim]\n", True),
    "an organisation as text": ("rh_subscription: {org: abc}\n", True),
    "doas": ("users:\n- {name: a, doas: [permit nopass]}\n", True),
    "no users": ("users: []\n", True),
    "no locale": ("locale: false\n", True),
    "a number for a password": ("password: 123456\n", True),
    "a date": ("users:\n- {name: a, expiredate: 2026-01-01}\n", True),
    "a date for a hostname": ("hostname: 2026-01-01\n", True),
    "a date that does not exist": ("hostname: 2026-99-01\n", False),
    "a package as text": ("packages: vim\n", True),
    "an anchor": ("runcmd: &a [x]\nbootcmd: *a\n", True),
    "an unknown anchor": ("runcmd: *a\n", False),
    "an unknown tag": ("runcmd: !x [a]\n", False),
    "Python's tag": ("runcmd: !!python/tuple [a]\n", False),
    "two documents": ("hostname: x\n---\nhostname: y\n", False),
    "a list": ("- a\n", False),
    "nothing": ("# nothing\n", False),
    "a merger": ("runcmd: [a]\nmerge_how: list(append)+dict()+str()\n", True),
    "mergers in pieces": ("runcmd: [a]\nmerge_how: [{name: dict, settings: [no_replace]}]\n", True),
    "a merger without dict": ("runcmd: [a]\nmerge_how: list(append)\n", False),
    "mergers in pieces without dict": ("runcmd: [a]\nmerge_how: [{name: list, settings: [append]}]\n", False),
    "a merger that is none": ("runcmd: [a]\nmerge_how: list(append\n", False),
    "400 nested lists": (f"runcmd: {'[' * 500}{']' * 500}\n", False),
}
ENCODED: Final = encodebytes(b"#cloud-config\nbootcmd: [x]\n").decode()
NESTED: Final = f'Content-Type: multipart/mixed; boundary="c"\n\n--c\n{CONFIG}\nbootcmd: [x]\n--c--\n'
#: Messages, and whether cloud-init takes their last part.
MESSAGES: Final[Mapping[str, tuple[str, bool]]] = {
    "a part": (f"{FIRST}--b\n{CONFIG}\n#cloud-config\nbootcmd: [x]\n--b--\n", True),
    "no end": (f"{FIRST}--b\n{CONFIG}\n#cloud-config\nbootcmd: [x]\n", True),
    "a message as a part": (f"{FIRST}--b\n{NESTED}--b--\n", True),
    "base64": (f"{FIRST}--b\n{CONFIG}Content-Transfer-Encoding: base64\n\n{ENCODED}--b--\n", True),
    "plain text with a header": (f"{FIRST}--b\nContent-Type: text/plain\n\n#cloud-config\nbootcmd: [x]\n--b--\n", True),
    "plain text without": (f"{FIRST}--b\nContent-Type: text/plain\n\nhello\n--b--\n", False),
    "no parts": ("#cloud-config\nbootcmd: [x]\n", False),
    "no dashes": (f"b\n{CONFIG}\n#cloud-config\nbootcmd: [x]\nb\n", False),
    "another boundary": (f"--c\n{CONFIG}\n#cloud-config\nbootcmd: [x]\n--c--\n", False),
    "its merger": (f"{FIRST}--b\n{CONFIG}Merge-Type: list(append)+dict()+str()\n\nbootcmd: [x]\n--b--\n", True),
    "a merger without dict": (f"--b\n{CONFIG}Merge-Type: list(append)\n\nbootcmd: [x]\n--b--\n", False),
    "a broken merger": (f"{FIRST}--b\n{CONFIG}Merge-Type: list(append\n\nbootcmd: [x]\n--b--\n", False),
    "an unknown merger": (f"{FIRST}--b\n{CONFIG}X-Merge-Type: set(append)\n\nbootcmd: [x]\n--b--\n", False),
    "a tab in a part": (f"{FIRST}--b\n{CONFIG}\nbootcmd: [x]\t# a tab\n--b--\n", False),
}


@pytest.fixture(scope="module")
def cloud_init() -> Iterator[CloudInit]:
    """The real one."""
    with tempfile.TemporaryDirectory() as folder, CloudInit(Path(folder)) as process:
        yield process


def taken(cloud_init: CloudInit, answer: str) -> bool:
    """Whether cloud-init takes all of an answer; it never costs an instance its user-data."""
    seen = cloud_init.boot(answer, b"#cloud-config\nbyobu_by_default: system\n")
    assert seen["error"] is None
    return not seen["warnings"] and {*seen["config"]} > {"byobu_by_default"}


def accepted(answer: Any) -> bool:
    """Whether the guard accepts an answer."""
    try:
        return bool(Guard().check_answer(answer, "x"))
    except CloudInitError:
        return False


@pytest.mark.parametrize("name", CONFIGS)
def test_the_verdict_on_a_cloud_config(cloud_init: CloudInit, name: str) -> None:
    """The guard accepts a cloud-config if and only if cloud-init takes it, short or long."""
    text, is_taken = CONFIGS[name]
    long = f"#cloud-config\n{text}" + "# a line that makes it long\n" * 200
    answer = f"#cloud-config\n{text}"
    assert (is_taken, is_taken, is_taken) == (taken(cloud_init, answer), accepted(answer), accepted(long))


@pytest.mark.parametrize("name", MESSAGES)
def test_the_verdict_on_a_message(cloud_init: CloudInit, name: str) -> None:
    """The guard accepts a MIME message if and only if cloud-init takes each of its parts."""
    body, is_taken = MESSAGES[name]
    answer = MIME + body
    assert (is_taken, is_taken) == (taken(cloud_init, answer), accepted(answer))


def test_a_part_that_is_joined_keeps_its_merger(cloud_init: CloudInit) -> None:
    """A part of an upstream's message is merged by its own header, also when it is joined with those of others."""
    theirs = f"{MIME}--b\n{CONFIG}Merge-Type: list(append)+dict(recurse_array)+str()\n\nruncmd: [theirs]\n--b--\n"
    joined = Guard().check_answer(["#cloud-config\nruncmd: [ours]\n", theirs], "x")
    assert ["ours", "theirs"] == cloud_init.boot(joined)["config"]["runcmd"]
