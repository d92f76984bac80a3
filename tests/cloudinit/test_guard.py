"""The guard: which answers are rejected, normalised or accepted. tests/peers has the same with the real cloud-init."""

from __future__ import annotations

import gzip
import json
from base64 import encodebytes
from itertools import pairwise
from typing import Any

import pytest

from vendorsrv.cloudinit.guard import Guard, host_of, included_urls
from vendorsrv.cloudinit.mime import from_json, join, numbered, read, to_json
from vendorsrv.cloudinit.parts import CloudConfig, Script
from vendorsrv.errors import CloudInitError

MIME = 'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\n%s\n--==--\n'
GZIP = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
WHAT = "the answer for cloud-init"
UNKNOWN = "does not begin with a header of cloud-init such as #cloud-config or #!"


def rejected(value: Any, *hosts: str) -> str:
    """Return the message with which the guard rejects a value."""
    with pytest.raises(CloudInitError) as caught:
        Guard(hosts).check_answer(value, "x")
    return caught.value.message


#: Five levels of ten aliases each.
BOMB = "a: &a [x]\n" + "".join(f"{name}: &{name} [{', '.join([f'*{of}'] * 10)}]\n" for of, name in pairwise("abcdef"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": 1}, f"{WHAT} must be a string, not a mapping"),
        ([1], f"{WHAT} must be a string, not a list of other values than strings"),
        (5, f"{WHAT} must be a string, not a number"),
        (True, f"{WHAT} must be a string, not a boolean"),
        ({1}, f"{WHAT} must be a string, not set"),
        ("\ud800", f"{WHAT} contains a lone surrogate, which makes cloud-init fail"),
        ("hello", f"{WHAT} {UNKNOWN}"),
        ("# cloud-config", f"{WHAT} {UNKNOWN}; remove the space in # cloud-config"),
        ("#!sh", f"{WHAT} must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        ("#cloud-boothook\nid", f"{WHAT} must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        ("#cloud-config\n", f"{WHAT} must be a mapping; cloud-init ignores anything else"),
        ("#cloud-config\n1: 2", f"{WHAT} must be a mapping; cloud-init ignores anything else"),
        ("#cloud-config\na: [", f"{WHAT} is not valid YAML (line 3); cloud-init would ignore it"),
        ("#cloud-config\na: 2026-99-99", f"{WHAT} is not valid YAML; cloud-init would ignore it"),
        (f"#cloud-config\n{BOMB}", f"{WHAT} has more than 100000 values"),
        ("#cloud-config\na: &a [*a]", f"{WHAT} is nested too deeply or refers to itself"),
        ("#cloud-config\nruncmd: planted", f"{WHAT}: runcmd: must be a list"),
        (
            "#cloud-config\nmerge_how: planted",
            f"{WHAT}: merge_how: not mergers of cloud-init with dict(), without which it would ignore the part",
        ),
        (
            "#cloud-config\nmerge_type: 5",
            f"{WHAT}: merge_type: not mergers of cloud-init with dict(), without which it would ignore the part",
        ),
        (
            "#part-handler\n",
            f"{WHAT} is a #part-handler, whose code can make the init stage fail; use a Boothook",
        ),
        (
            MIME % "Content-Type: text/x-shellscript-per-boot\n\n#!/bin/sh",
            (
                f"{WHAT} is text/x-shellscript-per-boot, which cloud-init never runs from vendor data; "
                "use a Boothook or a Script"
            ),
        ),
        (MIME % "Content-Type: text/x-none\n\nx", f"{WHAT} has the type text/x-none, which cloud-init ignores"),
        (
            MIME % "Content-Type: application/gzip\n\nx",
            "part part-001 for cloud-init is not valid gzip or is too large; cloud-init would fail",
        ),
        (
            MIME % f"{GZIP}{encodebytes(b'none').decode()}",
            "part part-001 for cloud-init is not valid gzip or is too large; cloud-init would fail",
        ),
        (
            MIME % f"{GZIP}{encodebytes(gzip.compress(b'#!/bin/sh', mtime=0) * 2).decode()}",
            "part part-001 for cloud-init is not valid gzip or is too large; cloud-init would fail",
        ),
        (
            MIME % "Content-Type: text/plain\n\n\u00e9",
            "part part-001 for cloud-init is not UTF-8, or is not base64-encoded",
        ),
    ],
)
def test_a_harmful_or_ignored_answer_is_rejected(value: Any, reason: str) -> None:
    """An answer that cloud-init would fail at or ignore is rejected, with a reason that does not quote it."""
    assert reason == rejected(value)


@pytest.mark.parametrize(
    "value",
    [
        "#cloud-config\nhostname: a\nmerge_how: 'list(append) + dict(recurse_array)'\n",
        "#cloud-config\nmerge_how: [{name: list, settings: [append]}, {name: dict, settings: []}]\n",
        "#cloud-config\nown: &a [1]\nother: *a\n",
        "#!/bin/sh\n",
        "#cloud-boothook\n#!/bin/sh\n",
        "## template: jinja\n#!/bin/sh\n",
        "## template: jinja\n#cloud-boothook\n#!/bin/sh\n",
        MIME % "Content-Type: text/plain\n\n#!/bin/sh",
        MIME % f"Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
        f"{encodebytes(gzip.compress(b'#!/bin/sh', mtime=0)).decode()}",
    ],
)
def test_a_valid_string_is_unchanged(value: str) -> None:
    """A valid string, even with an upstream's own headers and encodings, is returned unchanged."""
    assert value == Guard().check_answer(value, "x")


@pytest.mark.parametrize(
    "body",
    [
        "==\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: x\n==\n",
        "--other\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: x\n--other--\n",
        " --==\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: x\n --==--\n",
        "#cloud-config\nhostname: x\n",
        "--==--\n",
        "",
        "--==\nContent-Type: multipart/mixed; boundary=b\n\n#cloud-config\n--==\n\n#!/bin/sh\n--==--\n",
    ],
)
def test_a_mime_message_in_which_cloud_init_finds_no_part_is_refused(body: str) -> None:
    """A MIME message without parts, or with one such message in it, is refused: cloud-init says nothing of it."""
    assert (
        "a MIME message for cloud-init has no parts; separate them with lines of -- and the boundary of its header"
        == rejected(f'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n{body}')
    )


@pytest.mark.parametrize(
    "header", ["Merge-Type: list(append", "X-Merge-Type: append", "Merge-Type: set(append)", "Merge-Type: list(append)"]
)
def test_a_wrong_merger_in_a_part_s_header_is_refused(header: str) -> None:
    """A part whose header has no merger of cloud-init's is refused: cloud-init would lose the part."""
    text = MIME % f"Content-Type: text/cloud-config\n{header}\n\n#cloud-config\nhostname: x\n"
    assert "part part-001 for cloud-init has a Merge-Type without dict(), or that cloud-init does not know" == rejected(
        text
    )


@pytest.mark.parametrize("header", ["Merge-Type: list(append)+dict()", "X-Merge-Type: dict(replace)", "merge-type: x"])
def test_a_merger_in_a_part_s_header_is_accepted(header: str) -> None:
    """A part's merger is accepted, and so is a header that cloud-init does not read."""
    text = MIME % f"Content-Type: text/cloud-config\n{header}\n\n#cloud-config\nhostname: x\n"
    assert text == Guard().check_answer(text, "x")


def test_parts_and_lists_of_strings_become_one_string() -> None:
    """A part, or a list of parts and strings, becomes one string."""
    config, script = CloudConfig({"hostname": "a"}), Script("#!/bin/sh\n")
    assert config.text == Guard().check_answer(config, "x")
    assert ["01-x-cloud-config", "02-x-script"] == [
        each.name for each in read(Guard().check_answer([config, script], "x"))
    ]
    assert ["01-x-part-001", "02-x-script"] == [
        each.name for each in read(Guard().check_answer([config.text, script], "x"))
    ]


@pytest.mark.parametrize("value", [None, {}, [], (), "", " \n", "\ufeff"])
def test_every_form_of_nothing_is_an_empty_object(value: Any) -> None:
    """None, empty values and blank strings become {}."""
    assert {} == Guard().check_answer(value, "x")


INCLUDE = "#include https://Allowed.example/a\n# a comment\n\nhttp://allowed.example:8080/b\n"


def test_includes_need_an_allowed_host() -> None:
    """An include is rejected unless the hosts of all its URLs are in include_hosts."""
    assert INCLUDE == Guard(["ALLOWED.example"]).check_answer(INCLUDE, "x")
    for text in (INCLUDE, f"{INCLUDE}http://other.example/", "#include-once\nhttp://[", "#include file:///etc/passwd"):
        assert "includes a URL whose host is not in [cloud_init] include_hosts" in rejected(text, "other")


def test_the_urls_of_an_include() -> None:
    """Each line that is not a comment is a URL, including the rest of the header's line."""
    assert ["https://Allowed.example/a", "http://allowed.example:8080/b"] == included_urls(INCLUDE)
    assert ("a", None) == (host_of("http://A/x"), host_of("ftp://a/x"))


def test_a_handler_of_another_target_may_return_anything() -> None:
    """For a handler that is not for cloud-init only parts are converted."""
    guard = Guard()
    assert [1, {"a": 2}] == guard.check_parts([1, {"a": 2}], "x")
    assert "#cloud-config" == guard.check_parts([CloudConfig({"hostname": "a"})], "x").splitlines()[0]


def test_contributions_are_stored_as_json() -> None:
    """Parts, the parts of a string, and nothing are stored as JSON values."""
    guard = Guard()
    part = {"type": "text/x-shellscript", "name": "script", "text": "#!/bin/sh\n"}
    assert [part] == guard.check_contribution(Script("#!/bin/sh\n"), "x")
    assert [{**part, "name": "part-001"}] == guard.check_contribution("#!/bin/sh\n", "x")
    assert [{}, {}, {}] == [
        guard.check_contribution(None, "x"),
        guard.check_contribution([], "x"),
        guard.check_contribution("", "x"),
    ]
    assert [Script("#!/bin/sh\n").text] == [each.text for each in from_json(to_json([Script("#!/bin/sh\n")]))]
    with pytest.raises(CloudInitError, match="must be a string, not a number"):
        guard.check_contribution(5, "x")


def test_a_stored_answer_is_checked_once() -> None:
    """A stored answer is normalised or rejected, and a valid one is not checked again."""
    guard = Guard()
    good = b'"#!/bin/sh\\n"'
    assert good is guard.check_stored(good, "x")
    assert good is guard.check_stored(good, "x")
    assert b"{}" == guard.check_stored(b"[]", "x")
    with pytest.raises(CloudInitError):
        guard.check_stored(b'{"a":1}', "x")


def test_a_mime_message_keeps_each_text() -> None:
    """Joined parts can be read back, and the same parts give the same message."""
    parts = numbered(
        "x", [Script("#!/bin/sh\necho é\n"), Script("#!/bin/sh\n--x\n", name="b"), CloudConfig({"hostname": "a"})]
    )
    message = join(parts)
    assert message == join(parts)
    assert [(each.name, each.text) for each in parts] == [(each.name, each.text) for each in read(message)]
    assert message == json.loads(json.dumps(message))


def test_an_upstream_s_part_name_becomes_a_file_name() -> None:
    """A name in a header with a path or spaces becomes a plain file name."""
    header = 'Content-Type: text/plain\nContent-Disposition: attachment; filename="../a b"\n\n#!/bin/sh'
    assert ["a_b"] == [each.name for each in read(MIME % header)]


def test_a_list_with_a_lone_surrogate_is_refused() -> None:
    """A lone surrogate in a list of strings is a CloudInitError that names the fault, as in a single string."""
    with pytest.raises(CloudInitError, match="surrogate"):
        Guard().check_answer(["#cloud-config\n{}", "\ud800"], "other")
