"""Schema violations of a cloud-config: by the installed cloud-init's schema, else by the table of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import real_peers as peers
from vendorsrv.cloudinit import schema as cloudinit_schema
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.keys import KEYS
from vendorsrv.cloudinit.parts import CloudConfig
from vendorsrv.cloudinit.schema import find_violations, installed_schema, json_type, listed, rules_of
from vendorsrv.errors import CloudInitError

SCHEMA: dict[str, Any] = {
    "$defs": {
        "cc_own": {
            "properties": {
                "runcmd": {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "null"}]}},
                "users": {
                    "items": {
                        "oneOf": [{"type": "string"}, {"type": "object", "properties": {"uid": {"type": "integer"}}}]
                    }
                },
                "swap": {"type": "object", "properties": {"size": {}}, "additionalProperties": False},
                "phone_home": {"required": ["url"]},
                "timezone": {"minLength": 3},
                "resize_rootfs": {"enum": [True, 1, 1.5, None, "noblock", [], {}]},
                "locale": {"type": ["string", "number"]},
                "ntp": {"$ref": "#/$defs/deep"},
                "random_seed": {"anyOf": [{"type": "object"}], "oneOf": [{"type": "null"}]},
            }
        },
        "deep": {"type": "object"},
        "cc_bare": {},
    },
    "allOf": [{"$ref": "#/$defs/cc_own"}, {"$ref": "#/$defs/cc_bare"}],
}


@pytest.fixture
def own_schema(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Install a schema with one of each rule."""
    import json

    path = tmp_path / cloudinit_schema.SCHEMA
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SCHEMA))
    monkeypatch.setattr(cloudinit_schema, "INSTALLED", (str(tmp_path),))
    installed_schema.cache_clear()


@pytest.fixture
def no_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no cloud-init be installed."""
    monkeypatch.setattr(cloudinit_schema, "INSTALLED", ("/nonexistent",))
    installed_schema.cache_clear()


@pytest.fixture(autouse=True)
def clear_cache() -> Any:
    """Let the next test read the schema again."""
    yield
    installed_schema.cache_clear()


@pytest.mark.usefixtures("own_schema")
@pytest.mark.parametrize(
    ("config", "violation"),
    [
        ({"runcmd": ["a", None]}, None),
        ({"runcmd": [1]}, "runcmd[0]: must be null or a string"),
        ({"users": [{"uid": "planted"}]}, "users[0].uid: must be an integer"),
        ({"swap": {"sise": 1}}, "swap: unknown key sise; did you mean size?"),
        ({"phone_home": {}}, "phone_home: url is required"),
        ({"timezone": "a"}, "timezone: violates cloud-init's schema (minLength)"),
        ({"hostnme": 1}, "hostnme: cloud-init has no such key; did you mean hostname?"),
        ({"hostname": 1}, "hostname: must be a string"),
    ],
)
def test_by_a_schema(config: dict[str, Any], violation: str | None) -> None:
    """A violation has the path and the rule, and no value."""
    assert [violation] * bool(violation) == [str(each) for each in find_violations(config)]


@pytest.mark.usefixtures("no_schema")
@pytest.mark.parametrize(
    ("config", "violation"),
    [
        ({"runcmd": [1]}, None),
        ({"runcmd": "planted"}, "runcmd: must be a list"),
        ({"timezone": None}, "timezone: must be a string"),
        ({"resize_rootfs": 1.5}, "resize_rootfs: must be true or false or a string"),
        ({"hostnme": 1}, "hostnme: cloud-init has no such key; did you mean hostname?"),
    ],
)
def test_by_the_table(config: dict[str, Any], violation: str | None) -> None:
    """Without an installed cloud-init the top-level keys and their types are checked."""
    assert [violation] * bool(violation) == [str(each) for each in find_violations(config)]


@pytest.mark.usefixtures("own_schema")
@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("runcmd: [[sleep, 5], null]\n", "runcmd[0]: must be null or a string"),
        ("users: [{uid: planted}]\n", "users[0].uid: must be an integer"),
        ("timezone: 5\n", "timezone: must be a string"),
        ("timezone: a\n", "timezone: violates cloud-init's schema (minLength)"),
        ("swap: {sise: 1}\n", None),
        ("phone_home: {}\n", "phone_home: url is required"),
        ("packages: planted\n", "packages: must be a list"),
        ("hostname: 2026-01-01\n", None),
        ("hostname: !!binary aGk=\n", None),
    ],
)
def test_the_schema_is_advice(caplog: pytest.LogCaptureFixture, text: str, violation: str | None) -> None:
    """What an instance takes although its schema says otherwise is accepted, and logged once without the value."""
    for _ in range(2):
        Guard().check_answer(f"#cloud-config\n{text}", "x")
    what = "the answer for cloud-init"
    expected = f"{what}: {violation}, by cloud-init's schema; an instance logs that and goes on"
    assert [expected] * bool(violation) == caplog.messages
    assert "planted" not in caplog.text


@pytest.mark.usefixtures("no_schema")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("write_files: {a: 1}\n", "write_files: must be a list"),
        ("write_files: [a]\n", "write_files[0]: must be a mapping"),
        ("runcmd: echo\n", "runcmd: must be a list"),
        ("runcmd: [a, 5]\n", "runcmd[1]: must be a list or null or a string"),
        ("bootcmd: [{a: b}]\n", "bootcmd[0]: must be a list or null or a string"),
        ("users: [5]\n", "users[0]: must be a list or a mapping or a string"),
        ("ntp: [a]\n", "ntp: must be null or a mapping"),
        ("timezone:\n", "timezone: must be a string"),
        ("packages: {a: 1}\n", "packages: must be a list"),
    ],
)
def test_what_makes_a_module_fail_is_an_error(text: str, reason: str) -> None:
    """A list, a mapping or a single value in the place of another is refused, with or without cloud-init's schema."""
    with pytest.raises(CloudInitError) as caught:
        Guard().check_answer(f"#cloud-config\n{text}", "x")
    assert f"the answer for cloud-init: {reason}" == caught.value.message


@pytest.mark.usefixtures("own_schema")
def test_a_part_is_checked_by_what_all_versions_agree_on() -> None:
    """CloudConfig refuses what violates the schema, but not what another version of cloud-init allows."""
    assert "locale: false" in CloudConfig({"locale": False}).text
    with pytest.raises(CloudInitError, match=r"^cloud-config swap: unknown key sise; did you mean size\?$"):
        CloudConfig({"swap": {"sise": 1}})


def types_of(schema: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the JSON types that a schema allows for each top-level key."""
    types: dict[str, set[str]] = {}
    for key, rule in rules_of(schema):
        types.setdefault(key, set()).update(types_in(schema, rule))
    return {key: tuple(sorted(each)) for key, each in types.items()}


def types_in(schema: Mapping[str, Any], rule: Mapping[str, Any]) -> set[str]:
    """Return the JSON types that a rule allows."""
    if "type" in rule:
        return set(listed(rule["type"]))
    if "$ref" in rule:
        return types_in(schema, schema["$defs"][rule["$ref"].rpartition("/")[2]])
    if "enum" in rule:
        return {json_type(value) for value in rule["enum"]}
    return {
        each for name in ("oneOf", "anyOf", "allOf") for one in rule.get(name, ()) for each in types_in(schema, one)
    }


def test_the_table_equals_the_installed_schema() -> None:
    """The table has the types of each key in the installed cloud-init's schema."""
    peers.skip_if_unit()
    schema = installed_schema()
    if not schema:
        peers.missing("no real cloud-init: install Debian's package cloud-init")
    types = types_of(schema)
    newer = {"locale": ("boolean", "string")}
    assert {**types, **newer} == {key: KEYS[key] for key in types}
