"""Bodies as Nova posts them: seven members with hyphens in their names, in ASCII JSON (``DynamicVendorData``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from typing_extensions import Unpack

from vendorsrv.nova.payload import build_payload

USUAL: Final[dict[str, Any]] = {
    "project-id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e",
    "instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d",
    "image-id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
    "user-data": "I2Nsb3VkLWNvbmZpZwo=",
    "hostname": "web-1",
    "metadata": {"tier": "gold"},
    "boot-roles": "member,reader",
}

#: The members of a body, by the kind of instance or of Nova.
VARIANTS: Final[dict[str, Mapping[str, Any]]] = {
    "usual": USUAL,
    "booted from a volume": {**USUAL, "image-id": ""},
    "without user-data": {**USUAL, "user-data": None},
    # Nova's own objects allow these to be null.
    "with nulls": {**USUAL, **dict.fromkeys(("project-id", "image-id", "user-data", "hostname"))},
    # No roles are recorded for an instance from before Ocata, and no Nova before Ocata sends the member.
    "without roles": {**USUAL, "boot-roles": ""},
    "before ocata": {name: value for name, value in USUAL.items() if name != "boot-roles"},
    "a newer nova": {**USUAL, "availability-zone": "az1", "flavor": {"name": "m1.small", "vcpus": 1}},
    # By Nova's default limits: 65,535 characters of user-data, 128 metadata items of 255 characters each.
    "largest": {
        **USUAL,
        "user-data": "A" * 65_532,
        "hostname": "h" * 63,
        "metadata": {f"{number:03}" + "\u20ac" * 252: "\u20ac" * 255 for number in range(128)},
        "boot-roles": ",".join(f"role-{number:03}" for number in range(235)),
    },
}


class Members(TypedDict, total=False):
    """The members of a body that a test may set; None is null.

    ``user_data`` is what the instance sees, before Base64; ``boot_roles`` are joined by commas.
    """

    instance_id: str
    project_id: str | None
    image_id: str | None
    user_data: bytes | None
    hostname: str | None
    metadata: Mapping[str, str]
    boot_roles: str


def nova_body(
    variant: str = "usual", /, *, extra: Mapping[str, Any] | None = None, **members: Unpack[Members]
) -> bytes:
    """Return a body as Nova posts it.

    :param variant: one of :data:`VARIANTS`; the other parameters change it.
    :param extra: more members, or replaced ones, by their names in JSON.
    :raises KeyError: there is no such variant.
    """
    payload = build_payload(VARIANTS[variant], **members)
    payload |= {name.replace("_", "-"): None for name, value in members.items() if value is None}
    return json.dumps({**payload, **(extra or {})}).encode("ascii")
