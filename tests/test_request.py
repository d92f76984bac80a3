"""Nova's JSON in, frozen values out, and one clear message for everything else."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from vendorsrv import BadRequest, BootRoles, Caller, VendordataRequest

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"

#: As Nova 34 sends it.
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
    """Parse Nova's body with some members changed, hyphens written as underscores."""
    body = {**NOVA, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return VendordataRequest.from_json(json.dumps(body).encode())


def refusal(body: bytes) -> str:
    """Give the message with which a body is refused."""
    with pytest.raises(BadRequest) as caught:
        VendordataRequest.from_json(body)
    return caught.value.message


def test_nova_s_body_becomes_a_request() -> None:
    """Every field of Nova's has its attribute."""
    caller = Caller(user_id="nova")
    request = VendordataRequest.from_json(json.dumps(NOVA).encode(), caller, "req-1", "token")
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
    ) == tuple(getattr(request, each.name) for each in fields())


def fields() -> list[dataclasses.Field[Any]]:
    """The fields in the order of Nova's body."""
    found = {each.name: each for each in dataclasses.fields(VendordataRequest)}
    return [found.pop("project_id"), *found.values()]


def test_only_the_instance_is_always_there() -> None:
    """A body of nothing but the id is that of an old Nova."""
    request = VendordataRequest.from_json(b'{"instance-id": "%s"}' % INSTANCE.encode())
    assert VendordataRequest(instance_id=INSTANCE) == request


@pytest.mark.parametrize("name", ["project_id", "image_id", "user_data", "hostname"])
def test_what_nova_lets_be_null_may_be_null(name: str) -> None:
    """Nova's instance object has these four nullable."""
    assert None is getattr(parsed(**{name: None}), name)


def test_an_instance_booted_from_a_volume_has_an_empty_image() -> None:
    """Empty is not null: Nova says that there is no image."""
    assert "" == parsed(image_id="").image_id


def test_unknown_members_are_kept() -> None:
    """A newer Nova breaks nothing."""
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
        (b'{"hostname": "\\ud800"}', "the body hostname has a lone surrogate, which is not Unicode text"),
        (b'\xff{"instance-id": "a"}', "the body is not UTF-8 (byte 0)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_body_that_is_not_nova_s_is_refused(body: bytes, message: str) -> None:
    """Each has one clear message."""
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
def test_a_field_that_is_wrong_is_named(name: str, value: object, message: str) -> None:
    """The message names the field, and never its value."""
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
def test_boot_roles_are_one_string(joined: str, roles: tuple[str, ...]) -> None:
    """Names keep their case, their order and their spaces; an empty string gives none."""
    assert roles == parsed(boot_roles=joined).boot_roles


@pytest.mark.parametrize(
    ("role", "there"),
    [("mail-admin", True), ("MAIL-ADMIN", True), ("Mail-Admin", True), ("mail", False), ("", False), (5, False)],
)
def test_boot_roles_are_compared_without_case(role: object, there: bool) -> None:
    """As Keystone compares them."""
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
def test_user_data_is_decoded_on_demand(user_data: str | None, decoded: bytes | None) -> None:
    """Line breaks are legal in base64 of users."""
    assert decoded == parsed(user_data=user_data).decoded_user_data()


@pytest.mark.parametrize("user_data", ["a", "#cloud-config", "aGVsbG8", "aGVsbG8=ä", "_-8="])
def test_user_data_that_is_no_base64_is_an_error(user_data: str) -> None:
    """The message holds nothing of it."""
    with pytest.raises(BadRequest) as caught:
        parsed(user_data=user_data).decoded_user_data()
    assert "user-data is not base64" == caught.value.message


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(VendordataRequest)])
def test_no_attribute_can_be_changed(name: str) -> None:
    """A handler cannot change what the next one is given."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(parsed(), name, None)


@pytest.mark.parametrize("name", ["metadata", "extra"])
def test_no_mapping_can_be_changed(name: str) -> None:
    """Neither can what is in it."""
    with pytest.raises(TypeError):
        getattr(parsed(flavor=1), name)["new"] = "1"


def test_repr_holds_no_user_s_data() -> None:
    """A request that ends up in a log line gives nothing away."""
    text = repr(parsed(user_data="cGxhbnRlZA==", metadata={"key": "planted"}, flavor="planted"))
    assert (False, False) == ("planted" in text, "cGxhbnRlZA" in text)


def test_a_body_that_comes_again_is_the_same_request_of_somebody_else() -> None:
    """Nova asks six times with the same bytes; whose call it is differs."""
    body = json.dumps(NOVA).encode()
    first, second = (VendordataRequest.from_json(body, request_id=each, token=each) for each in ("req-1", "req-2"))
    assert ("req-1", "req-2", "req-1", "req-2") == (first.request_id, second.request_id, first.token, second.token)
    assert first.digest == second.digest


def test_what_a_handler_changes_is_not_changed_for_the_next_one() -> None:
    """Lists among the members that this version does not know, say."""
    body = json.dumps({**NOVA, "tags": ["a"]}).encode()
    VendordataRequest.from_json(body).extra["tags"].append("b")
    assert ["a"] == VendordataRequest.from_json(body).extra["tags"]


@pytest.mark.parametrize("length", [100, 5000])
def test_a_large_body_is_a_request_like_any_other(length: int) -> None:
    """It is parsed each time, so that large ones do not fill the memory."""
    body = json.dumps({**NOVA, "user-data": "a" * length}).encode()
    assert "a" * length == VendordataRequest.from_json(body).user_data
