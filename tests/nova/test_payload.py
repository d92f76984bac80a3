"""The payload is one that Nova could send."""

from __future__ import annotations

from pathlib import Path

import pytest

from vendorsrv.errors import ConfigError
from vendorsrv.nova.payload import build_payload, read_payload


def test_each_call_has_a_new_instance() -> None:
    """Each default payload has a new instance id."""
    assert build_payload()["instance-id"] != build_payload()["instance-id"]


def test_the_default_payload_has_novas_members() -> None:
    """The default payload has Nova's seven members, with the values of an instance booted from a volume."""
    payload = build_payload()
    assert 36 == len(payload.pop("instance-id"))
    assert 32 == len(payload.pop("project-id"))
    assert payload == {
        "image-id": "",
        "user-data": None,
        "hostname": "vendorsrv-call",
        "metadata": {},
        "boot-roles": "",
    }


def test_options_override_members_of_a_payload() -> None:
    """Parameters override members of a given payload, and the others stay unchanged."""
    assert {"instance-id": "x", "boot-roles": "a", "new": 1} == build_payload(
        {"instance-id": "x", "boot-roles": "b", "new": 1}, boot_roles="a"
    )


def test_a_payload_from_a_file(tmp_path: Path) -> None:
    """A payload can be read from a JSON file."""
    (tmp_path / "payload.json").write_text('{"instance-id": "x"}')
    assert {"instance-id": "x"} == read_payload(tmp_path / "payload.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist or cannot be read"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[]", "is not a JSON object"),
    ],
)
def test_an_unusable_payload_file_is_a_config_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A payload file that cannot be read, or is not a JSON object, raises ConfigError with the reason."""
    if content is not None:
        (tmp_path / "payload.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_payload(tmp_path / "payload.json")
