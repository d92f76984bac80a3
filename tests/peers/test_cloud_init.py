"""What the real cloud-init makes of answers: the shapes that hurt it, what the guard does, and users who differ."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.peers.cloud_init import CloudInit
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.keys import KEYS
from vendorsrv.cloudinit.mime import join, numbered
from vendorsrv.cloudinit.parts import Boothook, CloudConfig, Jinja, Part, Script
from vendorsrv.errors import CloudInitError

USER_DATA: Final = b"#cloud-config\nruncmd: [mine]\n"
MIME: Final = 'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\n%s\n--==--\n'


@pytest.fixture(scope="module")
def cloud_init() -> Iterator[CloudInit]:
    """The real one; its many small files are in memory where that can be."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - in a folder of its own
    with tempfile.TemporaryDirectory(dir=memory) as folder, CloudInit(Path(folder)) as process:
        yield process


def mime(*parts: str) -> str:
    """A MIME message of parts with their headers."""
    return MIME % "\n--==\n".join(parts)


#: Shapes, and what they do: "fails" costs the instance its user-data, "ignored" is a warning and nothing else,
#: "silent" does not work and says nothing, "newer" is ignored by 22.4 and works with a newer one, "taken" works.
SHAPES: Final[Mapping[str, tuple[Any, str]]] = {
    "a list of an object": ([{"a": 1}], "fails"),
    "a list of a number": ([5], "fails"),
    "a lone surrogate": ("#cloud-config\nhostname: \ud800\n", "fails"),
    "an include": ("#include http://192.0.2.1/x\n", "fails"),
    "an include, once": ("#include-once\nhttp://192.0.2.1/x\n", "fails"),
    "an include in a MIME message": (mime("Content-Type: text/x-include-url\n\nhttp://192.0.2.1/x\n"), "fails"),
    "an archive of a number": ("#cloud-config-archive\n- content: 5\n", "fails"),
    "a broken gzip in a MIME message": (mime("Content-Type: application/gzip\n\nnone\n"), "fails"),
    "an object": ({"a": 1}, "ignored"),
    "a number": (5, "ignored"),
    "text": ("hello", "ignored"),
    "a space too much": ("# cloud-config\nhostname: x\n", "ignored"),
    "a list in a cloud-config": ("#cloud-config\n- a\n", "ignored"),
    "no YAML": ("#cloud-config\na: [\n", "ignored"),
    "nothing in a cloud-config": ("#cloud-config\n", "ignored"),
    "a control character": ("#cloud-config\nhostname: \x01\n", "ignored"),
    "no part in a MIME message": (mime("").replace("--==", "=="), "silent"),
    "another boundary in a MIME message": (mime("").replace('"=="', '"other"'), "silent"),
    "a wrong merger in a header": (
        mime("Content-Type: text/cloud-config\nMerge-Type: list(append\n\n#cloud-config\nfinal_message: x\n"),
        "ignored",
    ),
    "a template that is none": ("## template: jinja\n#cloud-config\nhostname: {{\n", "ignored"),
    "a template of a boothook": ("## template: jinja\n#cloud-boothook\n#!/bin/sh\n", "newer"),
    "8 bits in a MIME message": (mime("Content-Type: text/cloud-config\n\nfinal_message: \u00e9\n"), "ignored"),
    "an unknown type": (mime("Content-Type: text/x-none\n\nhello\n"), "ignored"),
    "a part handler": ("#part-handler\nimport sys\n", "ignored"),  # our harness does not import it
    "a wrong type": ("#cloud-config\nwrite_files: {a: 1}\n", "silent"),
    "a script for every boot": (mime("Content-Type: text/x-shellscript-per-boot\n\n#!/bin/sh\n"), "silent"),
    "a plain cloud-config": ("#cloud-config\nhostname: x\n", "taken"),
    "CRLF": ("#cloud-config\r\nhostname: x\r\n", "taken"),
    "JSON": ('#cloud-config\n{"hostname": "x"}\n', "taken"),
    "not ASCII": ("#cloud-config\nhostname: \u00e9\n", "taken"),
    "a key that looks like a header": ("#cloud-config\nhostname: x\nmime-version: 1.0\n", "taken"),
    "a key twice": ("#cloud-config\nhostname: y\nhostname: x\n", "taken"),
    "a template": ("## template: jinja\n#cloud-config\nhostname: {{ v1.local_hostname }}\n", "taken"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(cloud_init: CloudInit, name: str) -> None:
    """Each shape does to the real cloud-init what the documentation says; the guard lets only the last two pass."""
    answer, effect = SHAPES[name]
    seen = cloud_init.boot(answer, USER_DATA)
    if effect == "fails":
        assert seen["error"]
    else:
        assert seen["error"] is None
        assert {"runcmd": ["mine"]} == seen["user_config"]
        assert (effect in ("ignored", "newer")) == bool(seen["warnings"])
    if effect in ("newer", "taken"):
        assert answer == Guard().check_answer(answer, "other")
        assert ("hostname" in seen["config"]) == (effect == "taken")
    else:
        with pytest.raises(CloudInitError):
            Guard().check_answer(answer, "other")


@pytest.mark.parametrize(
    ("answer", "mended"),
    [
        ("\ufeff#cloud-config\nhostname: x\n", "#cloud-config\nhostname: x\n"),
        (["#cloud-config\nhostname: x\n"], "#cloud-config\nhostname: x\n"),
        (" \n", {}),
        ([], {}),
        (None, {}),
    ],
    ids=["byte-order-mark", "list-of-one", "blank", "empty-list", "none"],
)
def test_unambiguous_shapes_are_corrected(cloud_init: CloudInit, answer: Any, mended: Any) -> None:
    """A shape with one possible meaning is changed to the one that cloud-init accepts."""
    assert mended == Guard().check_answer(answer, "other")
    assert [] == cloud_init.boot(mended, USER_DATA)["warnings"]


SEVEN: Final = (
    CloudConfig({"timezone": "UTC", "ntp": {"enabled": True, "servers": ["a.example.org"]}}),
    CloudConfig({"ntp": {"servers": ["b.example.org"]}, "final_message": "\u00e9 \U0001f4ee"}),
    CloudConfig({"packages": ["postfix"]}, replaceable=("packages",)),
    Script("#!/bin/sh\necho one\n", name="one"),
    Script("#!/bin/sh\r\necho \u00e9\r\n"),
    Boothook("#!/bin/sh\necho early\n"),
    Jinja("#cloud-config\nlocale: {{ v1.local_hostname }}\npackages: [mutt]\n"),
)


def test_parts_are_joined(cloud_init: CloudInit) -> None:
    """Seven parts of all kinds arrive: mappings and lists grow, and every script has a file of its own."""
    seen = cloud_init.boot(join(numbered("x", SEVEN)), USER_DATA)
    assert (None, []) == (seen["error"], seen["warnings"])
    assert {
        "timezone": "UTC",
        "ntp": {"enabled": True, "servers": ["a.example.org", "b.example.org"]},
        "final_message": "\u00e9 \U0001f4ee",
        "packages": ["postfix", "mutt"],
        "locale": "mail-1",
    } == seen["vendor_config"]
    assert ["04-x-one", "05-x-script"] == seen["vendor_scripts"]
    assert ["06-x-boothook"] == seen["boothooks"]


def test_the_first_of_two_values_holds(cloud_init: CloudInit) -> None:
    """When two handlers set the same key, the instance gets the first one's value."""
    parts = [CloudConfig({"hostname": "first"}), CloudConfig({"hostname": "second"})]
    assert "first" == cloud_init.boot(join(numbered("x", parts)))["config"]["hostname"]


@pytest.mark.parametrize(
    ("user_data", "config", "scripts"),
    [
        (b"#cloud-config\npackages: [mine]\nntp: {servers: [mine]}\n", {"packages": ["mine"]}, 2),
        (b"#cloud-config\nvendor_data2: {enabled: false}\n", {}, 0),
        (b"#cloud-config\nvendor_data2: {disabled_handlers: [text/x-shellscript]}\n", {"timezone": "UTC"}, 0),
        (b"#cloud-config\nvendor_data2: 5\n", {}, 0),
        (b"#!/bin/sh\necho mine\n", {"timezone": "UTC"}, 2),
        (b"#cloud-config\ntimezone: {a: 1}\nfinal_message: [x]\n", {"timezone": {"a": 1}, "final_message": ["x"]}, 2),
        (b"\x1f\x8bno gzip", {"timezone": "UTC"}, 2),
        (b"#cloud-config\n- a\n", {"timezone": "UTC"}, 2),
    ],
    ids=["same-keys", "opt-out", "no-scripts", "broken-opt-out", "a-script", "other-types", "binary", "broken"],
)
def test_hostile_user_data(cloud_init: CloudInit, user_data: bytes, config: dict[str, Any], scripts: int) -> None:
    """Whatever the user-data is, vendor data and user-data both take effect as the user allows, without a failure."""
    seen = cloud_init.boot(join(numbered("x", SEVEN)), user_data)
    alone = cloud_init.boot({}, user_data, alone=True)
    assert seen["error"] is None
    assert set(seen["warnings"]) <= {
        *alone["warnings"],
        "invalid vendor_data2 setting. resetting to: {'enabled': False}",
    }
    assert (alone["user_config"], alone["user_scripts"]) == (seen["user_config"], seen["user_scripts"])
    assert config == {key: seen["config"][key] for key in config}
    assert scripts == len(seen["vendor_scripts"])


def test_a_mapping_beats_the_users_list(cloud_init: CloudInit) -> None:
    """A vendor's mapping replaces the user's list in cloud-init, so a CloudConfig rejects it."""
    answer = "#cloud-config\ngroups: {admins: [root]}\n"
    assert {"admins": ["root"]} == cloud_init.boot(answer, b"#cloud-config\ngroups: [mine]\n")["config"]["groups"]
    with pytest.raises(CloudInitError, match=r"^cloud-config groups: a mapping would replace"):
        CloudConfig({"groups": {"admins": ["root"]}})


def test_static_vendor_data_keeps_its_file(cloud_init: CloudInit) -> None:
    """A script of the static vendor data, which has no name, keeps its file beside ours."""
    seen = cloud_init.boot(join(numbered("x", SEVEN)), USER_DATA, "#!/bin/sh\necho static\n")
    assert ["04-x-one", "05-x-script", "part-001"] == seen["vendor_scripts"]


TEXT: Final = st.text(st.characters(exclude_categories=()), max_size=60)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CONFIGS: Final = st.dictionaries(st.sampled_from(sorted(KEYS)) | TEXT, VALUES, max_size=3)
#: What may stand at the beginning of a text or of a line of it.
BEGINNINGS: Final = st.sampled_from(
    (
        "",
        "#cloud-config\n",
        "#!/bin/sh\n",
        "#cloud-boothook\n#!/bin/sh\n",
        "## template: jinja\n#cloud-config\n",
        "#include ",
        "#cloud-config-archive\n",
        "#cloud-config-jsonp\n",
        "#part-handler\n",
        "\ufeff",
        "\n",
        "MIME-Version: 1.0\n",
    )
)
LINES: Final = st.sampled_from(
    (
        "a: {{ b",
        "- x",
        "hostname: x",
        "merge_how: 5",
        "users: {",
        "--==",
        "Content-Type: text/x-shellscript",
        "",
        "launch-index: x",
        "Content-Type: application/gzip",
        "Content-Transfer-Encoding: base64",
        "Content-Type: message/rfc822",
        "&a [*a]",
    )
)
DOCUMENTS: Final = st.builds(
    lambda beginning, lines, text: beginning + "\n".join(lines) + text, BEGINNINGS, st.lists(LINES, max_size=5), TEXT
)
MESSAGES: Final = st.builds(
    lambda kind, body: mime(f"Content-Type: {kind}\n\n{body}"),
    st.sampled_from(("text/cloud-config", "text/plain", "text/x-shellscript", "text/jinja2", "multipart/mixed", "x")),
    DOCUMENTS,
)


def made(kind: type[Part], *arguments: Any, **options: Any) -> Part | None:
    """One of our parts, or None when it refuses to be made."""
    try:
        return kind(*arguments, **options)
    except CloudInitError:
        return None


PARTS: Final = st.one_of(
    st.builds(lambda config: made(CloudConfig, config, replaceable=tuple(config), also=tuple(config)), CONFIGS),
    st.builds(lambda beginning, text: made(Script, beginning + text), BEGINNINGS, TEXT),
    st.builds(lambda beginning, text: made(Boothook, beginning + text), BEGINNINGS, TEXT),
    st.builds(lambda text: made(Jinja, f"#cloud-config\n{text}"), TEXT | LINES),
)


@settings(
    max_examples=2000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=VALUES | DOCUMENTS | MESSAGES | st.lists(PARTS | DOCUMENTS, max_size=4))
def test_no_answer_costs_an_instance_its_user_data(cloud_init: CloudInit, value: Any) -> None:
    """Whatever a handler returns, what passes the guard causes neither a failure nor a warning of cloud-init."""
    given_value = [each for each in value if each is not None] if isinstance(value, list) else value
    try:
        answer = Guard().check_answer(given_value, "other")
    except CloudInitError:
        return
    seen = cloud_init.feed(json.loads(json.dumps(answer)))
    assert seen["error"] is None
    assert {"runcmd": ["mine"]} == seen["user_config"]
    if "jinja" not in repr(answer):  # what only the instance can render may be anything
        assert [] == seen["warnings"], answer


@settings(
    max_examples=1000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=st.lists(PARTS, min_size=1, max_size=4))
def test_values_arrive_as_they_were_given(cloud_init: CloudInit, parts: list[Part | None]) -> None:
    """Our own parts pass our own guard, and their values arrive unchanged."""
    own = [part for part in parts if part]
    answer = join(numbered("x", own)) if own else {}
    assert answer == Guard().check_answer(answer, "x")
    seen = cloud_init.feed(answer)
    assert seen["error"] is None
    assert {"runcmd": ["mine"]} == seen["user_config"]
