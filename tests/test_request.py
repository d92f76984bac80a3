"""Requests: parsing Nova's body, refusing others, and values that cannot be changed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from vendorsrv import BadRequest, BootRoles, Caller, VendordataRequest
from vendorsrv.instance import NO_FACTS

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"

#: The body of Nova 34.
NOVA = {
    "project-id": "39dc322ce86c40d1a0e7e7a4d6a0b1c2",
    "instance-id": INSTANCE,
    "image-id": "d5b5d9b4-5b7a-4d6c-8a3c-0f8c9f7f6f11",
    "user-data": "aGVsbG8=",
    "hostname": "web-1",
    "metadata": {"tier": "gold"},
    "boot-roles": "member,Mail-Admin",
}


def parsed(**changes: object) -> VendordataRequest:
    """Return the request of Nova's body with some members changed; underscores stand for hyphens."""
    body = {**NOVA, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return VendordataRequest.from_json(json.dumps(body).encode())


def refusal(body: bytes) -> str:
    """Return the message of the error for a body."""
    with pytest.raises(BadRequest) as caught:
        VendordataRequest.from_json(body)
    return caught.value.message


def test_nova_s_body_becomes_a_request() -> None:
    """Each member of Nova's body is an attribute of the request, beside the caller, the id, the token and the peer."""
    caller = Caller(user_id="nova")
    request = VendordataRequest.from_json(json.dumps(NOVA).encode(), caller, "req-1", "token", "192.0.2.1")
    assert (
        "39dc322ce86c40d1a0e7e7a4d6a0b1c2",
        "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d",
        "d5b5d9b4-5b7a-4d6c-8a3c-0f8c9f7f6f11",
        "aGVsbG8=",
        "web-1",
        {"tier": "gold"},
        ("member", "Mail-Admin"),
        {},
        caller,
        "req-1",
        json.dumps(NOVA).encode(),
        "token",
        "192.0.2.1",
        None,
        NO_FACTS,
    ) == tuple(getattr(request, each.name) for each in fields())


def fields() -> list[dataclasses.Field[Any]]:
    """Return the fields in the order of Nova's body."""
    found = {each.name: each for each in dataclasses.fields(VendordataRequest)}
    return [found.pop("project_id"), *found.values()]


def test_only_the_instance_id_is_required() -> None:
    """A body with only the instance's id is accepted; all other members have defaults."""
    request = VendordataRequest.from_json(b'{"instance-id": "%s"}' % INSTANCE.encode())
    assert VendordataRequest(instance_id=INSTANCE) == request


@pytest.mark.parametrize("name", ["project_id", "image_id", "user_data", "hostname"])
def test_members_that_nova_sends_as_null_may_be_null(name: str) -> None:
    """The four members that are nullable in Nova's instance object may be null."""
    assert None is getattr(parsed(**{name: None}), name)


def test_an_instance_booted_from_a_volume_has_an_empty_image() -> None:
    """The empty image id of an instance booted from a volume stays an empty string."""
    assert "" == parsed(image_id="").image_id


def test_unknown_members_are_kept() -> None:
    """Unknown members, as of a newer Nova, are accepted and kept in extra."""
    assert {"flavor": {"vcpus": 2}} == parsed(flavor={"vcpus": 2}).extra


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; Nova posts a JSON object"),
        (b"hello", "the body is not JSON: Expecting value (line 1, column 1)"),
        (b'{"instance-id": NaN}', "the body has NaN, which is not JSON"),
        (b"[]", "the body must be an object"),
        (b"null", "the body must be an object"),
        (b'"text"', "the body must be an object"),
        (b"{}", "instance-id is missing"),
        (b'{"instance-id": "a", "instance-id": "b"}', "the body has the member instance-id more than once"),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "the body is nested deeper than 64 levels"),
        (b'{"a": [' + b"[]," * 350_000 + b"[]]}", "the body has more than 10000 values"),
        (b'{"hostname": "\\ud800"}', "the body hostname has a lone surrogate, which is not Unicode text"),
        (b'\xff{"instance-id": "a"}', "the body is not UTF-8 (byte 0)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_body_that_is_not_a_valid_request_is_refused(body: bytes, message: str) -> None:
    """A body that is not strict JSON, no object or without the instance's id is refused with the reason."""
    assert message == refusal(body)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("instance-id", None, "instance-id must be a string"),
        ("instance-id", 5, "instance-id must be a string"),
        ("instance-id", "", "instance-id must be a UUID in its canonical form (lower case, with hyphens)"),
        (
            "instance-id",
            INSTANCE.upper(),
            "instance-id must be a UUID in its canonical form (lower case, with hyphens)",
        ),
        (
            "instance-id",
            INSTANCE.replace("-", ""),
            "instance-id must be a UUID in its canonical form (lower case, with hyphens)",
        ),
        (
            "instance-id",
            INSTANCE + "\n",
            "instance-id must be a UUID in its canonical form (lower case, with hyphens)",
        ),
        ("project-id", 5, "project-id must be a string"),
        ("image-id", [], "image-id must be a string"),
        ("user-data", {}, "user-data must be a string"),
        ("hostname", True, "hostname must be a string"),
        ("hostname", "web\n1", "hostname must not hold control characters"),
        ("hostname", "web\x7f", "hostname must not hold control characters"),
        ("hostname", "web\x85", "hostname must not hold control characters"),
        ("metadata", None, "metadata must be an object"),
        ("metadata", [], "metadata must be an object"),
        ("metadata", {"planted": 5}, "an item of metadata must be a string"),
        ("metadata", {"planted": None}, "an item of metadata must be a string"),
        ("boot-roles", None, "boot-roles must be a string"),
        ("boot-roles", ["member"], "boot-roles must be a string"),
    ],
)
def test_a_wrong_member_is_named(name: str, value: object, message: str) -> None:
    """A member of a wrong type or form is refused; the message has its name and not its value."""
    assert message == refusal(json.dumps({**NOVA, name: value}).encode())


@pytest.mark.parametrize(
    ("joined", "roles"),
    [
        ("", ()),
        (",", ()),
        ("member", ("member",)),
        ("member,Mail-Admin", ("member", "Mail-Admin")),
        ("member,,reader", ("member", "reader")),
        ("a role, another", ("a role", " another")),
    ],
)
def test_boot_roles_are_split_at_commas(joined: str, roles: tuple[str, ...]) -> None:
    """Role names keep their case, order and spaces; empty names are dropped."""
    assert roles == parsed(boot_roles=joined).boot_roles


@pytest.mark.parametrize(
    ("role", "there"),
    [("mail-admin", True), ("MAIL-ADMIN", True), ("Mail-Admin", True), ("mail", False), ("", False), (5, False)],
)
def test_boot_roles_ignore_case(role: object, there: bool) -> None:
    """Role names are compared case-insensitively, as in Keystone."""
    assert there is (role in BootRoles(["member", "Mail-Admin"]))


@pytest.mark.parametrize(
    ("user_data", "decoded"),
    [
        (None, None),
        ("", b""),
        ("aGVsbG8=", b"hello"),
        ("aGVs\nbG8=\n", b"hello"),
        ("/+8=", b"\xff\xef"),
    ],
)
def test_user_data_is_decoded(user_data: str | None, decoded: bytes | None) -> None:
    """decoded_user_data returns the bytes; line breaks in the base64 are ignored."""
    assert decoded == parsed(user_data=user_data).decoded_user_data()


@pytest.mark.parametrize("user_data", ["a", "#cloud-config", "aGVsbG8", "aGVsbG8=ä", "_-8="])
def test_user_data_that_is_not_base64_is_an_error(user_data: str) -> None:
    """Decoding user-data that is not base64 raises an error whose message has nothing of it."""
    with pytest.raises(BadRequest) as caught:
        parsed(user_data=user_data).decoded_user_data()
    assert "user-data is not base64" == caught.value.message


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(VendordataRequest)])
def test_no_attribute_can_be_changed(name: str) -> None:
    """Assigning to any attribute of a request raises FrozenInstanceError."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(parsed(), name, None)


@pytest.mark.parametrize("name", ["metadata", "extra"])
def test_no_mapping_can_be_changed(name: str) -> None:
    """Assigning to an item of metadata or extra raises TypeError."""
    with pytest.raises(TypeError):
        getattr(parsed(flavor=1), name)["new"] = "1"


def test_repr_has_no_user_data() -> None:
    """repr() of a request has no user-data, no metadata and no unknown member."""
    text = repr(parsed(user_data="cGxhbnRlZA==", metadata={"key": "planted"}, flavor="planted"))
    assert (False, False) == ("planted" in text, "cGxhbnRlZA" in text)


def test_a_repeated_body_has_the_same_digest_and_its_own_token() -> None:
    """Two requests with the same body have the same digest, and each has its own id, token and peer."""
    body = json.dumps(NOVA).encode()
    first, second = (
        VendordataRequest.from_json(body, request_id=each, token=each, peer=each) for each in ("req-1", "req-2")
    )
    assert ("req-1", "req-2") == (first.peer, second.peer)
    assert ("req-1", "req-2", "req-1", "req-2") == (first.request_id, second.request_id, first.token, second.token)
    assert first.digest == second.digest


def test_a_change_to_extra_does_not_reach_the_next_request() -> None:
    """A list in extra that a handler changes is unchanged in the next request with the same body."""
    body = json.dumps({**NOVA, "tags": ["a"]}).encode()
    VendordataRequest.from_json(body).extra["tags"].append("b")
    assert ["a"] == VendordataRequest.from_json(body).extra["tags"]


@pytest.mark.parametrize("length", [100, 5000])
def test_a_large_body_is_parsed(length: int) -> None:
    """Large bodies, which are not kept for reuse, give the same request as small ones."""
    body = json.dumps({**NOVA, "user-data": "a" * length}).encode()
    assert "a" * length == VendordataRequest.from_json(body).user_data
