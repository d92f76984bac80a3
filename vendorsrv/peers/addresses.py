"""Addresses of peers and networks, as text and as values."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Those to listen on that stand for all of the machine's.
ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104


def parse_address(text: str) -> Address:
    """Return an address; an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is the IPv4 address.

    :raises ValueError: the text is no address.
    """
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def plain(text: str) -> str:
    """Return the text of an address as :func:`parse_address` reads it; other text, as of a Unix socket, as it is."""
    try:
        return str(parse_address(text))
    except ValueError:
        return text


@lru_cache(maxsize=4096)
def peer_key(text: str) -> str:
    """Return what is one peer: an IPv4 address, or the /64 of an IPv6 address, all of which one host can have.

    Text that is no address, as the empty one, is its own key.
    """
    try:
        address = parse_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return str(address)
    prefix = int(address) >> 64 << 64
    return f"{ipaddress.IPv6Address(prefix)}/64"


def parse_network(text: str) -> Network:
    """Return a network, or an address as the network of one; the type of an option.

    :raises ValueError: the text is neither, or bits beyond the network's prefix are set.
    """
    return ipaddress.ip_network(text)


class Networks:
    """Networks of addresses.

    :param networks: none is usual: an empty object is false.
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self.networks = tuple(networks)
        # A proxy sends many requests, and each asks.
        self.includes = lru_cache(maxsize=1024)(self.find)

    def __bool__(self) -> bool:
        return bool(self.networks)

    def find(self, text: str) -> bool:
        """Return whether an address is in one of the networks; ``includes`` does, and remembers it."""
        try:
            address = parse_address(text)
        except ValueError:
            return False
        return any(address in network for network in self.networks)
