"""The PROXY protocol: headers as HAProxy's proxy-protocol.txt has them, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vendorsrv.peers.proxy_protocol import Header, ProxyHeaderError, parse_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = b"\xc0\x00\x02\x01\x0a\x00\x00\x0a\x12\x34\x23\x82"  # 192.0.2.1, 10.0.0.10 and two ports
IPV6 = bytes.fromhex("20010db8000000000000000000000001") + bytes(16) + b"\x12\x34\x23\x82"


def binary(start: bytes, rest: bytes) -> bytes:
    """Return a header of version 2 with these two bytes after the signature, and the length of the rest."""
    return SIGNATURE + start + len(rest).to_bytes(2, "big") + rest


HEADERS: dict[str, tuple[bytes, str | None]] = {
    "TCP4": (b"PROXY TCP4 192.0.2.1 10.0.0.10 56324 443\r\n", "192.0.2.1"),
    "TCP6": (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "2001:db8::1"),
    "TCP6 at its longest": (
        b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        "ffff:" * 7 + "ffff",
    ),
    "TCP6 of an IPv4 address": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 65535\r\n", "192.0.2.1"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "UNKNOWN with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "IPv4": (binary(b"\x21\x11", IPV4), "192.0.2.1"),
    "IPv6": (binary(b"\x21\x21", IPV6), "2001:db8::1"),
    "with TLVs": (binary(b"\x21\x11", IPV4 + b"\x04\x00\x01\x00" * 100), "192.0.2.1"),
    "LOCAL": (binary(b"\x20\x00", b""), None),
    "LOCAL with addresses": (binary(b"\x20\x11", IPV4), None),
    "UNSPEC": (binary(b"\x21\x00", b"what ever"), None),
    "a Unix socket": (binary(b"\x21\x31", bytes(216)), None),
    "UDP": (binary(b"\x21\x12", IPV4), None),
    "the longest": (binary(b"\x21\x11", IPV4 + bytes(4096 - 16 - 12)), "192.0.2.1"),
}


@pytest.mark.parametrize("rest", [b"", b"POST / HTTP/1.1\r\n", b"\x16\x03\x01", b"\n"])
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_names_the_peer(name: str, rest: bytes) -> None:
    """A header has a length and the source's address, whatever follows it."""
    header, peer = HEADERS[name]
    assert Header(len(header), peer) == parse_header(header + rest)


@pytest.mark.parametrize("name", HEADERS)
def test_a_part_of_a_header_needs_more(name: str) -> None:
    """Each beginning of a header is neither a header nor wrong."""
    header, _ = HEADERS[name]
    assert {None} == {parse_header(header[:length]) for length in range(len(header))}


OTHERS = (
    b"POST /mail HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"\r\nPOST / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"PROXYX ",
    b"\0",
)


@pytest.mark.parametrize("data", OTHERS)
def test_other_bytes_are_no_header(data: bytes) -> None:
    """A request or TLS without a header before it has a header of no bytes."""
    assert Header(0, None) == parse_header(data)


WRONG: dict[str, tuple[bytes, str]] = {
    "no end": (b"PROXY TCP4 " + b"1" * 96, "the line is too long"),
    "no CR": (b"PROXY TCP4 192.0.2.1 10.0.0.10 1 2\n", "the line is malformed"),
    "UNKNOWN without CR": (b"PROXY UNKNOWN\n", "the line is malformed"),
    "UDP4": (b"PROXY UDP4 192.0.2.1 10.0.0.10 1 2\r\n", "the line is malformed"),
    "a port too high": (b"PROXY TCP4 192.0.2.1 10.0.0.10 65536 2\r\n", "the line is malformed"),
    "another port too high": (b"PROXY TCP4 192.0.2.1 10.0.0.10 1 99999\r\n", "the line is malformed"),
    "a port with a zero": (b"PROXY TCP4 192.0.2.1 10.0.0.10 01 2\r\n", "the line is malformed"),
    "two spaces": (b"PROXY TCP4  192.0.2.1 10.0.0.10 1 2\r\n", "the line is malformed"),
    "an address too few": (b"PROXY TCP4 192.0.2.1 1 2\r\n", "the line is malformed"),
    "IPv6 in TCP4": (b"PROXY TCP4 2001:db8::1 10.0.0.10 1 2\r\n", "the line has a malformed address"),
    "IPv4 in TCP6": (b"PROXY TCP6 192.0.2.1 ::1 1 2\r\n", "the line has a malformed address"),
    "a name": (b"PROXY TCP4 host 10.0.0.10 1 2\r\n", "the line has a malformed address"),
    "a wrong target": (b"PROXY TCP4 192.0.2.1 10.0.0.256 1 2\r\n", "the line has a malformed address"),
    "version 3": (binary(b"\x31\x11", IPV4), "the version or the command is unknown"),
    "another command": (binary(b"\x22\x11", IPV4), "the version or the command is unknown"),
    "too long": (SIGNATURE + b"\x21\x11\x0f\xf1", "the header is too long"),
    "too short": (binary(b"\x21\x11", IPV4[:-1]), "the header is too short for its addresses"),
    "too short for IPv6": (binary(b"\x21\x21", IPV6[:-1]), "the header is too short for its addresses"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_malformed_header_is_refused(name: str) -> None:
    """A malformed header is an error that says what is wrong."""
    data, message = WRONG[name]
    with pytest.raises(ProxyHeaderError) as caught:
        parse_header(data)
    assert message == str(caught.value)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21"]), st.binary())
@example(b"PROXY ", b"TCP4 \xff\xff 10.0.0.10 1 2\r\n")
def test_any_bytes_are_a_header_or_an_error(start: bytes, rest: bytes) -> None:
    """Whatever comes is a header of at most the bytes that came, needs more, or is refused."""
    try:
        found = parse_header(start + rest)
    except ProxyHeaderError:
        return
    assert found is None or found.length <= len(start + rest)
