"""The guard: what is refused and why, what is mended, and what is remembered. The real cloud-init is in contract/."""

from __future__ import annotations

import gzip
import json
from base64 import encodebytes
from typing import Any

import pytest

from vendorsrv.cloudinit.guard import Guard, host_of, included
from vendorsrv.cloudinit.mime import from_json, join, numbered, read, to_json
from vendorsrv.cloudinit.parts import CloudConfig, Script
from vendorsrv.errors import CloudInitError

MIME = 'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\n%s\n--==--\n'
GZIP = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
WHAT = "the answer for cloud-init"
NOTHING_KNOWN = "begins with nothing that cloud-init knows, such as #cloud-config or #!"


def refused(value: Any, *hosts: str) -> str:
    """Why the guard refuses a value."""
    with pytest.raises(CloudInitError) as caught:
        Guard(hosts).value(value, "x")
    return caught.value.message


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": 1}, f"{WHAT} is a mapping; it must be one string"),
        ([1], f"{WHAT} is a list of other things than strings; it must be one string"),
        (5, f"{WHAT} is a number; it must be one string"),
        (True, f"{WHAT} is true or false; it must be one string"),
        ({1}, f"{WHAT} is of type set; it must be one string"),
        ("\ud800", f"{WHAT} has a lone surrogate, at which cloud-init fails"),
        ("hello", f"{WHAT} {NOTHING_KNOWN}"),
        ("# cloud-config", f"{WHAT} {NOTHING_KNOWN}; there is a space too much in # cloud-config"),
        ("#!sh", f"{WHAT} must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        ("#cloud-boothook\nid", f"{WHAT} must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        ("#cloud-config\n", f"{WHAT} must be a mapping of keys; cloud-init ignores anything else"),
        ("#cloud-config\n1: 2", f"{WHAT} must be a mapping of keys; cloud-init ignores anything else"),
        ("#cloud-config\na: [", f"{WHAT} is no YAML (line 3); cloud-init ignores it"),
        ("#cloud-config\na: 2026-99-99", f"{WHAT} is no YAML; cloud-init ignores it"),
        ("#cloud-config\na: &a [*a]", f"{WHAT} is more than 100000 values, or refers to itself"),
        ("#cloud-config\nruncmd: planted", f"{WHAT}: runcmd: must be a list"),
        (
            "#cloud-config\nmerge_how: planted",
            f"{WHAT}: merge_how: cloud-init has no such merger, and ignores the part",
        ),
        ("#cloud-config\nmerge_type: 5", f"{WHAT}: merge_type: cloud-init has no such merger, and ignores the part"),
        (
            "#part-handler\n",
            f"{WHAT} is a #part-handler, whose code runs in the init stage and can end it; use a Boothook",
        ),
        (
            MIME % "Content-Type: text/x-shellscript-per-boot\n\n#!/bin/sh",
            f"{WHAT} is text/x-shellscript-per-boot, which is never run for a vendor; use a Boothook, or a Script",
        ),
        (MIME % "Content-Type: text/x-none\n\nx", f"{WHAT} has the type text/x-none, which cloud-init ignores"),
        (
            MIME % "Content-Type: application/gzip\n\nx",
            "part part-001 for cloud-init is no gzip, or too large; the init stage would fail at it",
        ),
        (
            MIME % f"{GZIP}{encodebytes(b'none').decode()}",
            "part part-001 for cloud-init is no gzip, or too large; the init stage would fail at it",
        ),
        (
            MIME % f"{GZIP}{encodebytes(gzip.compress(b'#!/bin/sh') * 2).decode()}",
            "part part-001 for cloud-init is no gzip, or too large; the init stage would fail at it",
        ),
        (
            MIME % "Content-Type: text/plain\n\n\u00e9",
            "part part-001 for cloud-init is not UTF-8, or not encoded in base64",
        ),
    ],
)
def test_what_would_hurt_is_refused(value: Any, reason: str) -> None:
    """In a sentence that says what it is, and never quotes it."""
    assert reason == refused(value)


@pytest.mark.parametrize(
    "value",
    [
        "#cloud-config\nhostname: a\nmerge_how: 'list(append) + dict(recurse_array)'\n",
        "#cloud-config\nmerge_how: [{name: list, settings: [append]}]\nown: &a [1]\nother: *a\n",
        "#!/bin/sh\n",
        "#cloud-boothook\n#!/bin/sh\n",
        "## template: jinja\n#!/bin/sh\n",
        MIME % "Content-Type: text/plain\n\n#!/bin/sh",
        MIME % f"Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
        f"{encodebytes(gzip.compress(b'#!/bin/sh')).decode()}",
    ],
)
def test_what_works_passes_as_it_is(value: str) -> None:
    """Another server's own headers and encodings stay."""
    assert value == Guard().value(value, "x")


def test_parts_and_lists_of_strings_become_one_string() -> None:
    """A list would crash a cloud-init, and its meaning is certain."""
    config, script = CloudConfig({"hostname": "a"}), Script("#!/bin/sh\n")
    assert config.text == Guard().value(config, "x")
    assert ["01-x-cloud-config", "02-x-script"] == [each.name for each in read(Guard().value([config, script], "x"))]
    assert ["01-x-part-001", "02-x-script"] == [each.name for each in read(Guard().value([config.text, script], "x"))]


@pytest.mark.parametrize("value", [None, {}, [], (), "", " \n", "\ufeff"])
def test_nothing_is_an_empty_object(value: Any) -> None:
    """In all its forms."""
    assert {} == Guard().value(value, "x")


INCLUDE = "#include https://Allowed.example/a\n# a comment\n\nhttp://allowed.example:8080/b\n"


def test_includes_need_an_allowed_host() -> None:
    """Of all URLs, on the line of the word and below; an unreachable one costs the user-data."""
    assert INCLUDE == Guard(["ALLOWED.example"]).value(INCLUDE, "x")
    for text in (INCLUDE, f"{INCLUDE}http://other.example/", "#include-once\nhttp://[", "#include file:///etc/passwd"):
        assert "includes a URL whose host is not in [cloud_init] include_hosts" in refused(text, "other")


def test_urls_of_an_include() -> None:
    """One on each line that is no comment."""
    assert ["https://Allowed.example/a", "http://allowed.example:8080/b"] == included(INCLUDE)
    assert ("a", None) == (host_of("http://A/x"), host_of("ftp://a/x"))


def test_other_answers_pass_a_handler_of_another_target() -> None:
    """Only parts become a string there."""
    guard = Guard()
    assert [1, {"a": 2}] == guard.handled([1, {"a": 2}], "x")
    assert "#cloud-config" == guard.handled([CloudConfig({"hostname": "a"})], "x").splitlines()[0]


def test_contributions_are_kept_as_json() -> None:
    """Typed parts as they are, a string by its parts, nothing as an empty object."""
    guard = Guard()
    part = {"type": "text/x-shellscript", "name": "script", "text": "#!/bin/sh\n"}
    assert [part] == guard.contributed(Script("#!/bin/sh\n"), "x")
    assert [{**part, "name": "part-001"}] == guard.contributed("#!/bin/sh\n", "x")
    assert [{}, {}, {}] == [guard.contributed(None, "x"), guard.contributed([], "x"), guard.contributed("", "x")]
    assert [Script("#!/bin/sh\n").text] == [each.text for each in from_json(to_json([Script("#!/bin/sh\n")]))]
    with pytest.raises(CloudInitError, match="is a number; it must be one string"):
        guard.contributed(5, "x")


def test_kept_answers_are_checked_again_once() -> None:
    """What was kept before the guard was there is refused or mended; what was fine needs no second look."""
    guard = Guard()
    good = b'"#!/bin/sh\\n"'
    assert good is guard.body(good, "x")
    assert good is guard.body(good, "x")
    assert b"{}" == guard.body(b"[]", "x")
    with pytest.raises(CloudInitError):
        guard.body(b'{"a":1}', "x")


def test_a_message_keeps_every_text() -> None:
    """Plain ASCII as it is, everything else in base64; the same parts give the same bytes."""
    parts = numbered(
        "x", [Script("#!/bin/sh\necho é\n"), Script("#!/bin/sh\n--x\n", name="b"), CloudConfig({"hostname": "a"})]
    )
    message = join(parts)
    assert message == join(parts)
    assert [(each.name, each.text) for each in parts] == [(each.name, each.text) for each in read(message)]
    assert message == json.loads(json.dumps(message))


def test_names_of_other_servers_are_made_file_names() -> None:
    """Whatever stands in the header."""
    header = 'Content-Type: text/plain\nContent-Disposition: attachment; filename="../a b"\n\n#!/bin/sh'
    assert ["a_b"] == [each.name for each in read(MIME % header)]
