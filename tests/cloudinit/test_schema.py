"""Which keys a cloud-config may have: by cloud-init's own schema when it is installed, and by a table otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import real_peers as peers
from vendorsrv.cloudinit import schema as cloudinit_schema
from vendorsrv.cloudinit.keys import KEYS
from vendorsrv.cloudinit.schema import find_problems, installed_schema, types_of

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
    """An installed schema with one of each rule."""
    import json

    path = tmp_path / cloudinit_schema.SCHEMA
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SCHEMA))
    monkeypatch.setattr(cloudinit_schema, "INSTALLED", (str(tmp_path),))
    installed_schema.cache_clear()


@pytest.fixture
def no_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without cloud-init."""
    monkeypatch.setattr(cloudinit_schema, "INSTALLED", ("/nonexistent",))
    installed_schema.cache_clear()


@pytest.fixture(autouse=True)
def forget() -> Any:
    """The schema is read anew by the next test."""
    yield
    installed_schema.cache_clear()


@pytest.mark.usefixtures("own_schema")
@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"runcmd": ["a", None]}, None),
        ({"runcmd": [1]}, "runcmd[0]: must be null or a string"),
        ({"users": [{"uid": "planted"}]}, "users[0].uid: must be a whole number"),
        ({"swap": {"sise": 1}}, "swap: has no such key sise; did you mean size?"),
        ({"phone_home": {}}, "phone_home: lacks url"),
        ({"timezone": "a"}, "timezone: does not fit cloud-init's schema (minLength)"),
        ({"hostnme": 1}, "hostnme: cloud-init has no such key; did you mean hostname?"),
        ({"hostname": 1}, "hostname: must be a string"),
    ],
)
def test_by_a_schema(config: dict[str, Any], problem: str | None) -> None:
    """The place, and what is wrong there in words without the value."""
    assert [problem] * bool(problem) == [str(each) for each in find_problems(config)]


@pytest.mark.usefixtures("no_schema")
@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"runcmd": [1]}, None),
        ({"runcmd": "planted"}, "runcmd: must be a list"),
        ({"timezone": None}, "timezone: must be a string"),
        ({"resize_rootfs": 1.5}, "resize_rootfs: must be true or false or a string"),
        ({"hostnme": 1}, "hostnme: cloud-init has no such key; did you mean hostname?"),
    ],
)
def test_by_the_table(config: dict[str, Any], problem: str | None) -> None:
    """Without cloud-init only the top-level keys are known."""
    assert [problem] * bool(problem) == [str(each) for each in find_problems(config)]


@pytest.mark.usefixtures("own_schema")
def test_types_of_every_kind_of_rule() -> None:
    """The types that a rule allows, however it says it."""
    types = types_of(SCHEMA)
    assert ("array", "boolean", "integer", "null", "number", "object", "string") == types["resize_rootfs"]
    assert ("integer", "number", "string") == types["locale"]
    assert (("object",), ("null", "object")) == (types["ntp"], types["random_seed"])


def test_the_table_is_that_of_the_installed_cloud_init() -> None:
    """For each of its keys; those that only newer ones have are in the table too."""
    peers.ask()
    schema = installed_schema()
    if schema is None:
        peers.missing("no real cloud-init: install Debian's package cloud-init")
    assert types_of(schema) == {key: KEYS[key] for key in types_of(schema)}
