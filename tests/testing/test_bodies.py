"""Bodies as Nova posts them."""

from __future__ import annotations

import json

import pytest

from vendorsrv import VendordataRequest
from vendorsrv.testing import VARIANTS, nova_body

SEVEN = ["project-id", "instance-id", "image-id", "user-data", "hostname", "metadata", "boot-roles"]


def test_the_usual_body() -> None:
    """The usual body has seven members, in Nova's order."""
    assert SEVEN == list(json.loads(nova_body()))


@pytest.mark.parametrize(
    ("variant", "member", "value"),
    [
        ("booted from a volume", "image-id", ""),
        ("without user-data", "user-data", None),
        ("with nulls", "hostname", None),
        ("without roles", "boot-roles", ""),
        ("a newer nova", "availability-zone", "az1"),
    ],
)
def test_variants(variant: str, member: str, value: object) -> None:
    """Each variant is what its name says."""
    assert value == json.loads(nova_body(variant))[member]


def test_a_nova_before_ocata() -> None:
    """A Nova before Ocata sends no boot roles."""
    assert SEVEN[:-1] == list(json.loads(nova_body("before ocata")))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_legal(variant: str) -> None:
    """The server accepts every variant; it is ASCII, and about the same instance."""
    request = VendordataRequest.from_json(nova_body(variant))
    assert "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d" == request.instance_id
    assert nova_body(variant).isascii()


def test_the_largest_body() -> None:
    """The largest body is as large as Nova's default limits allow; its user-data is valid Base64."""
    request = VendordataRequest.from_json(nova_body("largest"))
    assert 128 == len(request.metadata)
    assert {255} == {len(text) for pair in request.metadata.items() for text in pair}
    assert 49_149 == len(request.decoded_user_data() or b"")
    assert 400_000 < len(nova_body("largest")) < 2**20


def test_members_can_be_set() -> None:
    """Members are set by their Python names; user-data is encoded, and None is null."""
    sent = json.loads(nova_body(user_data=b"#!/bin/sh\n", hostname=None, boot_roles="a,b", extra={"new": 1}))
    assert ("IyEvYmluL3NoCg==", None, "a,b", 1) == (
        sent["user-data"],
        sent["hostname"],
        sent["boot-roles"],
        sent["new"],
    )
