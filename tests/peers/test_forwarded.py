"""Forwarded and X-Forwarded-For: believed from the right, over trusted proxies only."""

from __future__ import annotations

import ipaddress

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fixtures import House
from tests.support.serving import BODY, JSON, running, write_config
from vendorsrv.peers.addresses import Networks, parse_network
from vendorsrv.peers.forwarded import forwarded_peer

TRUSTED = Networks(parse_network(each) for each in ("10.0.0.0/24", "2001:db8:f::/48"))
PROXY = "10.0.0.10"
Headers = list[tuple[bytes, bytes]]


def for_(text: str) -> Headers:
    """Return the header X-Forwarded-For."""
    return [(b"x-forwarded-for", text.encode("latin-1"))]


def forwarded(text: str) -> Headers:
    """Return the header Forwarded."""
    return [(b"forwarded", text.encode("latin-1"))]


PEERS: dict[str, tuple[str, Headers]] = {
    "no header": (PROXY, [(b"host", b"here")]),
    "one": ("192.0.2.1", for_("192.0.2.1")),
    "with a port": ("192.0.2.1", for_("192.0.2.1:4711")),
    "IPv6": ("2001:db8::1", for_("2001:DB8::1")),
    "IPv6 with a port": ("2001:db8::1", for_("[2001:db8::1]:4711")),
    "a mapped address": ("192.0.2.1", for_("::ffff:192.0.2.1")),
    "a stranger's before ours": ("192.0.2.1", for_("198.51.100.7, 192.0.2.1")),
    "over two proxies": ("192.0.2.1", for_("198.51.100.7, 192.0.2.1, 10.0.0.11")),
    "two headers": ("192.0.2.1", for_("198.51.100.7") + for_("192.0.2.1")),
    "all are proxies": ("10.0.0.12", for_("10.0.0.12, 10.0.0.11")),
    "no address": (PROXY, for_("unknown")),
    "no address before a proxy's": ("10.0.0.11", for_("192.0.2.1, hidden, 10.0.0.11")),
    "empty": (PROXY, for_("")),
    "an empty element": (PROXY, for_("192.0.2.1,")),
    "words": (PROXY, for_("192.0.2.1 192.0.2.2")),
    "for": ("192.0.2.1", forwarded("for=192.0.2.1")),
    "FOR and more": ("192.0.2.1", forwarded('by=10.0.0.1;FOR="192.0.2.1:4711";proto=https')),
    "for IPv6": ("2001:db8::1", forwarded('for="[2001:db8::1]"')),
    "for IPv6 with a port": ("2001:db8::1", forwarded('For="[2001:db8::1]:_port" ; host="a,b;c"')),
    "escaped": ("192.0.2.1", forwarded(r'for="192.0.2.\1"')),
    "several elements": ("192.0.2.1", forwarded("for=198.51.100.7, for=192.0.2.1;by=_a, for=10.0.0.11")),
    "elements in two headers": ("192.0.2.1", forwarded("for=198.51.100.7") + forwarded("for=192.0.2.1")),
    "for nobody": (PROXY, forwarded("for=unknown")),
    "for a name": (PROXY, forwarded('for="_hidden:80"')),
    "without for": (PROXY, forwarded("proto=https")),
    "malformed": (PROXY, forwarded('for=192.0.2.1, for="')),
    "no pairs": (PROXY, forwarded("192.0.2.1")),
    "both headers": (PROXY, for_("192.0.2.1") + forwarded("for=192.0.2.1")),
}


@pytest.mark.parametrize("name", PEERS)
def test_the_peer_is_the_nearest_address_that_is_not_trusted(name: str) -> None:
    """Of what a trusted proxy forwards, the rightmost address that is no trusted proxy's is the peer."""
    peer, headers = PEERS[name]
    assert peer == forwarded_peer(PROXY, headers, TRUSTED)


@pytest.mark.parametrize(
    "headers", [for_("192.0.2.1"), forwarded("for=192.0.2.1")], ids=["X-Forwarded-For", "Forwarded"]
)
@pytest.mark.parametrize("sender", ["198.51.100.7", "2001:db8:e::1", ""])
def test_a_stranger_is_not_believed(sender: str, headers: Headers) -> None:
    """What somebody else than a trusted proxy sends is ignored."""
    assert sender == forwarded_peer(sender, headers, TRUSTED)


@given(st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")), st.booleans())
@example(b"for=" * 8000, False)
@example(b'for="\\', False)
def test_any_text_gives_an_address(text: bytes, old: bool) -> None:
    """Whatever a header holds, the peer is an address."""
    ipaddress.ip_address(forwarded_peer(PROXY, [(b"x-forwarded-for" if old else b"forwarded", text)], TRUSTED))


def test_the_peer_of_a_trusted_proxys_request_is_what_it_forwards(house: House, tmp_path: object) -> None:
    """A handler sees the forwarded address in a request of a trusted proxy, and the sender's in a stranger's."""
    config = write_config(tmp_path, house.keystone, trusted_proxies="127.0.0.2, 2001:db8::/32")  # type: ignore[arg-type]
    headers = {**JSON, "X-Auth-Token": house.nova, "X-Forwarded-For": "192.0.2.9"}
    seen = []
    with running(config) as server:
        for address in ("127.0.0.2", "127.0.0.3"):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=60) as client:
                answer = client.post(f"http://127.0.0.1:{server.port}/echo", content=BODY, headers=headers)
                seen.append(answer.json()["peer"])
    assert ["192.0.2.9", "127.0.0.3"] == seen
