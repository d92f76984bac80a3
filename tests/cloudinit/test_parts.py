"""The parts that a handler makes: what each becomes, and what is refused, by key and never with a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import vendorsrv
from vendorsrv.cloudinit.parts import INSTEAD, Boothook, CloudConfig, Jinja, Part, Script
from vendorsrv.errors import CloudInitError

VANISHES = "the whole list vanishes when the user's user-data has"
MERGE = "list(append)+dict(no_replace,recurse_list)+str()"


def test_a_cloud_config_is_yaml_with_a_header() -> None:
    """It is ASCII, whatever is in it, and lists of later parts are appended."""
    part = CloudConfig({"hostname": "é", "ntp": {"servers": ["yes", "1"]}})
    assert ("text/cloud-config", "cloud-config") == (part.media_type, part.name)
    assert part.text.isascii()
    assert part.text.startswith("#cloud-config\n")
    assert {"hostname": "é", "ntp": {"servers": ["yes", "1"]}, "merge_how": MERGE} == yaml.safe_load(part.text)


def test_a_vendor_may_merge_otherwise() -> None:
    """Its own merge_how takes the place of ours."""
    part = CloudConfig({"hostname": "a"}, merge="dict(replace)+list()+str()", name="own")
    assert "own" == part.name
    assert "dict(replace)+list()+str()" == yaml.safe_load(part.text)["merge_how"]


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Script("#!/bin/sh\nid"), Part("text/x-shellscript", "script", "#!/bin/sh\nid\n")),
        (lambda: Script("\n#! /bin/sh\r\nid\r\n", "a.sh"), Part("text/x-shellscript", "a.sh", "#! /bin/sh\nid\n")),
        (lambda: Script("\ufeff#!/bin/sh\n"), Part("text/x-shellscript", "script", "#!/bin/sh\n")),
        (lambda: Boothook("#!/bin/sh\n"), Part("text/cloud-boothook", "boothook", "#cloud-boothook\n#!/bin/sh\n")),
        (
            lambda: Boothook("#cloud-boothook\n\n#!/bin/sh\n", "b"),
            Part("text/cloud-boothook", "b", "#cloud-boothook\n#!/bin/sh\n"),
        ),
        (
            lambda: Jinja("#!/bin/sh\n# {{ v1.region }}\n"),
            Part("text/jinja2", "template", "## template: jinja\n#!/bin/sh\n# {{ v1.region }}\n"),
        ),
        (
            lambda: Jinja("## template: jinja\n#cloud-config\nhostname: {{ v1.region }}\n", "t"),
            Part("text/jinja2", "t", "## template: jinja\n#cloud-config\nhostname: {{ v1.region }}\n"),
        ),
    ],
)
def test_texts_become_what_is_certainly_meant(make: Callable[[], Part], part: Part) -> None:
    """Headers are added, and ends of lines and byte order marks mended."""
    made = make()
    assert (part.media_type, part.name, part.text) == (made.media_type, made.name, made.text)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ([], "a CloudConfig must be made of a mapping, not of list"),
        ({}, "a CloudConfig must not be empty; give nothing instead"),
        ({1: 2}, "cloud-config has a member name of type int, not str"),
        ({"hostname": {1}}, "cloud-config hostname is of type set, which is not JSON"),
        ({"hostname": "a\ud800"}, "cloud-config hostname has a lone surrogate, which is not Unicode text"),
        ({"ntp": {"servers": ["planted\x1b"]}}, "cloud-config 'ntp': has a control character"),
        ({"ntp": {"a\x00": 1}}, "cloud-config 'ntp': has a control character"),
        ({"hostnme": "planted"}, "cloud-config hostnme: cloud-init has no such key; did you mean hostname?"),
        ({"timezone": 5}, "cloud-config timezone: must be a string"),
        ({"write_files": {"a": 1}}, "cloud-config write_files: must be a list"),
        ({"merge_how": "x"}, "cloud-config merge_how: say it by CloudConfig(…, merge=…)"),
        (
            {"vendor_data": {"enabled": True}},
            "cloud-config vendor_data: only the user's user-data and the image decide about vendor data",
        ),
        (
            {"runcmd": ["planted"]},
            f'cloud-config runcmd: {VANISHES} runcmd; {INSTEAD["runcmd"]}, or say replaceable=("runcmd",)',
        ),
        (
            {"mounts": [["a"]]},
            f'cloud-config mounts: {VANISHES} mounts; do it in a Script, or say replaceable=("mounts",)',
        ),
        (
            {"users": {"name": "a"}},
            "cloud-config users: a mapping would take the place of the user's own list or string; do it in a Script",
        ),
    ],
)
def test_a_cloud_config_that_would_hurt_is_refused(mapping: Any, message: str) -> None:
    """The message names the key and what to do, and never a value."""
    with pytest.raises(CloudInitError) as caught:
        CloudConfig(mapping)
    assert message == caught.value.message
    assert (500, "bad_cloud_init") == (caught.value.status, caught.value.code)


def test_what_the_vendor_accepts_is_taken() -> None:
    """A list that the user's own may replace, and a key of a module that only the image has."""
    part = CloudConfig({"packages": ["a"], "own_module": 1}, replaceable=("packages",), also=("own_module",))
    assert {"packages": ["a"], "own_module": 1, "merge_how": MERGE} == yaml.safe_load(part.text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Script(5), "a Script must be a string, not int"),  # type: ignore[arg-type]
        (lambda: Script("id"), "a Script must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        (lambda: Script("#!sh"), "a Script must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        (lambda: Script("#cloud-config\n"), "a Script cannot begin like that; use CloudConfig"),
        (lambda: Script("#cloud-boothook\n"), "a Script cannot begin like that; use Boothook"),
        (lambda: Script("## template: jinja\n"), "a Script cannot begin like that; use Jinja"),
        (lambda: Script("#!/bin/sh\n\x1b"), "a Script has the control character U+001B in line 2"),
        (lambda: Script("#!/bin/sh\n\ud800"), "a Script has a lone surrogate, at which cloud-init fails"),
        (lambda: Script("#!/bin/sh", name="a/b"), "the name of a part must be letters, digits, dots, - and _"),
        (lambda: Boothook("id"), "a Boothook must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        (
            lambda: Jinja("hostname: a"),
            "a Jinja must go on with #cloud-config or #! after its first line; nothing else is rendered",
        ),
        (lambda: Jinja("#cloud-config\na: {{"), "a Jinja has a template syntax error in line 3"),
        (
            lambda: CloudConfig({"hostname": "a"}, merge="all"),
            f"merge is no merge_how of cloud-init, such as {MERGE!r}",
        ),
    ],
)
def test_texts_that_could_not_work_are_refused(make: Callable[[], Part], message: str) -> None:
    """With what to use instead."""
    with pytest.raises(CloudInitError) as caught:
        make()
    assert message == caught.value.message


def test_no_repr_has_a_text() -> None:
    """A part may hold a secret, and ends up in log lines."""
    assert "planted" not in repr([CloudConfig({"password": "planted"}), Script("#!/bin/sh\nplanted")])


def test_the_face_shows_two_of_them() -> None:
    """The ones that most handlers need."""
    assert (CloudConfig, Script) == (vendorsrv.CloudConfig, vendorsrv.Script)


@given(
    st.text(max_size=40), st.lists(st.text(max_size=9), max_size=3), st.floats(allow_nan=False, allow_infinity=False)
)
def test_values_survive_yaml(text: str, texts: list[str], number: float) -> None:
    """What is refused is refused, and everything else is read back as it was given."""
    config = {"own": {"text": text, "texts": texts, "number": number, "none": None, text: True}}
    try:
        part = CloudConfig(config, also=("own",))
    except CloudInitError:
        return
    assert config == {"own": yaml.safe_load(part.text)["own"]}
