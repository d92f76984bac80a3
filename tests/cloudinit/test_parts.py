"""The parts for cloud-init: their text, and which arguments are rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vendorsrv
from vendorsrv.cloudinit.parts import Boothook, CloudConfig, Jinja, Part, Script
from vendorsrv.errors import CloudInitError

MERGE = "list(append)+dict(no_replace,recurse_list)+str()"


def test_a_cloud_config_is_yaml_with_a_header() -> None:
    """A CloudConfig becomes ASCII YAML with a header and a merge_how that appends lists."""
    part = CloudConfig({"hostname": "é", "ntp": {"servers": ["yes", "1"]}})
    assert ("text/cloud-config", "cloud-config") == (part.media_type, part.name)
    assert part.text.isascii()
    assert part.text.startswith("#cloud-config\n")
    assert {"hostname": "é", "ntp": {"servers": ["yes", "1"]}, "merge_how": MERGE} == yaml.safe_load(part.text)


@pytest.mark.parametrize("header", ["", "#cloud-config\n", "\ufeff#cloud-config\r\n"])
def test_a_cloud_config_can_be_read_from_yaml(header: str) -> None:
    """A text becomes the part that its mapping becomes, read as cloud-init reads it: yes is a boolean."""
    text = f"{header}ntp: &ntp\n  enabled: yes\n  servers: [a, '1']\nown: *ntp\n"
    ntp = {"enabled": True, "servers": ["a", "1"]}
    assert CloudConfig({"ntp": ntp, "own": ntp}, also=["own"]) == CloudConfig.from_yaml(text, also=["own"])
    assert "a" == CloudConfig.from_yaml("packages: [a]", replaceable=["packages"], name="a").name


@pytest.mark.parametrize(
    ("merge", "merge_how"),
    [(None, "dict(replace)+list()+str()"), ("dict(recurse_array)+list()+str()", "dict(recurse_array)+list()+str()")],
)
def test_a_text_s_own_merge_how_counts(merge: str | None, merge_how: str) -> None:
    """The merge_how of a text is that of the part, unless merge overrides it; read twice, the text is the same."""
    text = "hostname: a\nmerge_how: dict(replace)+list()+str()\n"
    parts = [CloudConfig.from_yaml(text, merge=merge) for _ in range(2)]
    assert [merge_how] * 2 == [yaml.safe_load(part.text)["merge_how"] for part in parts]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "a cloud-config is not valid YAML (line 2); cloud-init would ignore it"),
        ("- a\n", "a cloud-config must be a mapping; cloud-init ignores anything else"),
        ("", "a cloud-config must be a mapping; cloud-init ignores anything else"),
        ("{}", "a CloudConfig must not be empty; return None instead"),
        (b"a: b", "a cloud-config must be a string, not bytes"),
        (
            "hostname: a\nmerge_how: planted\n",
            f"merge must be a merge_how of cloud-init with dict(), such as {MERGE!r}",
        ),
        ("bootcmd: 2026-03-01\n", "cloud-config bootcmd is of type date, which is not JSON"),
        ("hostname: 'a\0'\n", "a cloud-config contains the control character U+0000 in line 1"),
    ],
)
def test_a_text_that_cloud_init_would_not_take_is_an_error(text: Any, message: str) -> None:
    """from_yaml has the checks of CloudConfig, and those of YAML; messages have no values."""
    with pytest.raises(CloudInitError) as caught:
        CloudConfig.from_yaml(text)
    assert message == caught.value.message


def test_merge_sets_the_merge_how() -> None:
    """The argument merge replaces the default merge_how."""
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
def test_texts_are_normalised(make: Callable[[], Part], part: Part) -> None:
    """Missing headers are added, and line endings and byte order marks are normalised."""
    made = make()
    assert (part.media_type, part.name, part.text) == (made.media_type, made.name, made.text)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ([], "a CloudConfig takes a mapping, not list"),
        ({}, "a CloudConfig must not be empty; return None instead"),
        ({1: 2}, "cloud-config has a member name of type int, not str"),
        ({"hostname": {1}}, "cloud-config hostname is of type set, which is not JSON"),
        ({"hostname": "a\ud800"}, "cloud-config hostname has a lone surrogate, which is not Unicode text"),
        ({"ntp": {"servers": ["planted\x1b"]}}, "cloud-config 'ntp': contains a control character"),
        ({"ntp": {"a\x00": 1}}, "cloud-config 'ntp': contains a control character"),
        ({"hostnme": "planted"}, "cloud-config hostnme: cloud-init has no such key; did you mean hostname?"),
        ({"timezone": 5}, "cloud-config timezone: must be a string"),
        ({"write_files": {"a": 1}}, "cloud-config write_files: must be a list"),
        ({"merge_how": "x"}, "cloud-config merge_how: use CloudConfig(…, merge=…)"),
        (
            {"vendor_data": {"enabled": True}},
            "cloud-config vendor_data: only user-data and the image can configure vendor data",
        ),
        (
            {"runcmd": ["planted"]},
            (
                "cloud-config runcmd: user-data with runcmd would replace the whole list; use a Script, which runs "
                'before any runcmd, or set replaceable=("runcmd",)'
            ),
        ),
        (
            {"mounts": [["a"]]},
            (
                "cloud-config mounts: user-data with mounts would replace the whole list; "
                'use a Script, or set replaceable=("mounts",)'
            ),
        ),
        (
            {"users": {"name": "a"}},
            "cloud-config users: a mapping would replace the user's own list or string; use a Script",
        ),
    ],
)
def test_an_invalid_cloud_config_is_rejected(mapping: Any, message: str) -> None:
    """The error names the key and what to do, and contains no value."""
    with pytest.raises(CloudInitError) as caught:
        CloudConfig(mapping)
    assert message == caught.value.message
    assert (500, "bad_cloud_init") == (caught.value.status, caught.value.code)


def test_replaceable_lists_and_further_keys_are_accepted() -> None:
    """A list in replaceable and an unknown key in also are accepted."""
    part = CloudConfig({"packages": ["a"], "own_module": 1}, replaceable=("packages",), also=("own_module",))
    assert {"packages": ["a"], "own_module": 1, "merge_how": MERGE} == yaml.safe_load(part.text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Script(5), "a Script must be a string, not int"),  # type: ignore[arg-type]
        (lambda: Script("id"), "a Script must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        (lambda: Script("#!sh"), "a Script must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        (lambda: Script("#cloud-config\n"), "a Script cannot begin with this header; use CloudConfig"),
        (lambda: Script("#cloud-boothook\n"), "a Script cannot begin with this header; use Boothook"),
        (lambda: Script("## template: jinja\n"), "a Script cannot begin with this header; use Jinja"),
        (lambda: Script("#!/bin/sh\n\x1b"), "a Script contains the control character U+001B in line 2"),
        (lambda: Script("#!/bin/sh\n\ud800"), "a Script contains a lone surrogate, which makes cloud-init fail"),
        (lambda: Script("#!/bin/sh", name="a/b"), "the name of a part must be letters, digits, dots, - and _"),
        (lambda: Boothook("id"), "a Boothook must begin with #! and the path of its interpreter, such as #!/bin/sh"),
        (
            lambda: Jinja("hostname: a"),
            (
                "a Jinja must continue with #cloud-config, #! or #cloud-boothook after its first line; "
                "cloud-init renders nothing else"
            ),
        ),
        (lambda: Jinja("#cloud-config\na: {{"), "a Jinja has a template syntax error in line 3"),
        (
            lambda: CloudConfig({"hostname": "a"}, merge="all"),
            f"merge must be a merge_how of cloud-init with dict(), such as {MERGE!r}",
        ),
    ],
)
def test_an_invalid_text_is_rejected(make: Callable[[], Part], message: str) -> None:
    """A script or template that could not work is rejected, with a reason."""
    with pytest.raises(CloudInitError) as caught:
        make()
    assert message == caught.value.message


def test_no_repr_has_a_text() -> None:
    """A part may hold a secret, and ends up in log lines."""
    assert "planted" not in repr([CloudConfig({"password": "planted"}), Script("#!/bin/sh\nplanted")])


def test_the_package_exports_the_usual_parts() -> None:
    """CloudConfig and Script can be imported from vendorsrv."""
    assert (CloudConfig, Script) == (vendorsrv.CloudConfig, vendorsrv.Script)


#: All code points, surrogates included: to leave these out, hypothesis tries to encode each code point (4 s).
TEXT = st.text(st.characters(codec=None), max_size=40)


# No deadline and no check for slow data: a busy machine would fail them.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, st.lists(TEXT, max_size=3), st.floats(allow_nan=False, allow_infinity=False))
def test_values_survive_yaml(text: str, texts: list[str], number: float) -> None:
    """Each value is either rejected, or equal to the value that the YAML contains."""
    config = {"own": {"text": text, "texts": texts, "number": number, "none": None, text: True}}
    try:
        part = CloudConfig(config, also=("own",))
    except CloudInitError:
        return
    assert config == {"own": yaml.safe_load(part.text)["own"]}
