"""Addresses and networks: who is one peer, and who is trusted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vendorsrv.peers.addresses import Networks, parse_network, peer_key, plain

KEYS = {
    "192.0.2.1": "192.0.2.1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "2001:DB8:1:2::": "2001:db8:1:2::/64",
    "2001:db8:1:3::1": "2001:db8:1:3::/64",
    "::1": "::/64",
    "fe80::1%eth0": "fe80::/64",
    "": "",
    "no address": "no address",
}


@pytest.mark.parametrize("text", KEYS)
def test_a_peer_is_an_ipv4_address_or_an_ipv6_64(text: str) -> None:
    """One peer is an IPv4 address, also one that is mapped into IPv6, or the /64 of an IPv6 address."""
    assert KEYS[text] == peer_key(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8::0", "2001:db8::"), ("testclient", "testclient"), ("", "")],
)
def test_an_address_has_one_spelling(text: str, expected: str) -> None:
    """An address is written the same however it was spelled, and what is no address as it is."""
    assert expected == plain(text)


@given(st.ip_addresses(v=6))
def test_addresses_of_a_64_are_one_peer(address: object) -> None:
    """All IPv6 addresses that share their first 64 bits have one key, except those that hold an IPv4 address."""
    text = str(address)
    if plain(text) == text:
        assert parse_network(peer_key(text)) == parse_network(f"{text.partition('%')[0]}/128").supernet(new_prefix=64)


TRUSTED = Networks(parse_network(each) for each in ("10.0.0.10", "192.0.2.0/24", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.10", True),
        ("10.0.0.11", False),
        ("192.0.2.255", True),
        ("::ffff:192.0.2.1", True),
        ("2001:db8:ffff::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("haproxy", False),
    ],
)
def test_networks_include_their_addresses(text: str, *, expected: bool) -> None:
    """An address is in one of the networks, of either version of IP, or not."""
    assert expected is TRUSTED.includes(text)


def test_no_networks_are_false() -> None:
    """Without networks nothing has to be looked up."""
    assert (False, True) == (bool(Networks()), bool(TRUSTED))
