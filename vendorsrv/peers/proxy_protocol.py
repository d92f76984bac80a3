"""The PROXY protocol, versions 1 and 2: what a proxy sends first to name the peer that it forwards.

The specification is HAProxy's ``proxy-protocol.txt``. The package ``proxy-protocol`` has to be told where the
header ends, and lets ``struct.error`` and ``ValueError`` of malformed headers through.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import Final, NamedTuple

from vendorsrv.peers.addresses import parse_address

VERSION_1: Final = b"PROXY "
#: The longest line of version 1 in bytes, with its end (section 2.1).
LONGEST_LINE: Final = 107
LINE: Final = re.compile(rb"PROXY TCP([46]) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n")
VERSION_2: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Bytes of version 2 before the addresses: signature, version and command, family and protocol, length.
FIXED: Final = 16
#: The longest header of version 2 that is read, in bytes. The addresses take at most 216, HAProxy's TLVs some hundred.
LONGEST: Final = 4096
LOCAL, PROXY = 0x20, 0x21
#: The length of one address by family and protocol: TCP over IPv4 and IPv6. Others are not looked at.
SIZES: Final = {0x11: 4, 0x21: 16}


class ProxyHeaderError(Exception):
    """A header of the PROXY protocol is malformed."""


class Header(NamedTuple):
    """What stands at the beginning of a connection.

    :ivar length: its bytes; 0 if there is none.
    :ivar peer: the address of who asks; None if the proxy itself does, or does not know.
    """

    length: int
    peer: str | None = None


def parse_header(data: bytes) -> Header | None:
    """Parse the beginning of a connection; return None when more bytes are needed.

    :raises ProxyHeaderError: it is a malformed header.
    """
    if data.startswith(VERSION_1):
        return parse_line(data[:LONGEST_LINE])
    if data.startswith(VERSION_2):
        return parse_binary(data)
    if VERSION_1.startswith(data) or VERSION_2.startswith(data):
        return None
    return Header(0)


def parse_line(data: bytes) -> Header | None:
    end = data.find(b"\n") + 1
    if not end:
        if len(data) == LONGEST_LINE:
            raise ProxyHeaderError("the line is too long")
        return None
    line = data[:end]
    if line.startswith(b"PROXY UNKNOWN") and line.endswith(b"\r\n"):
        return Header(end)
    found = LINE.fullmatch(line)
    if not found or int(found[4]) > 65535 or int(found[5]) > 65535:
        raise ProxyHeaderError("the line is malformed")
    kind = ipaddress.IPv4Address if found[1] == b"4" else ipaddress.IPv6Address
    try:
        source, _ = (kind(each.decode("latin-1")) for each in found.group(2, 3))
    except ValueError:
        raise ProxyHeaderError("the line has a malformed address") from None
    return Header(end, str(parse_address(str(source))))


def parse_binary(data: bytes) -> Header | None:
    if len(data) < FIXED:
        return None
    command, family = data[12], data[13]
    end = FIXED + int.from_bytes(data[14:FIXED], "big")
    if command not in (LOCAL, PROXY):
        raise ProxyHeaderError("the version or the command is unknown")
    if end > LONGEST:
        raise ProxyHeaderError("the header is too long")
    if len(data) < end:
        return None
    size = SIZES.get(family)
    if command == LOCAL or size is None:
        return Header(end)
    if end - FIXED < 2 * size + 4:  # two addresses and two ports
        raise ProxyHeaderError("the header is too short for its addresses")
    return Header(end, str(parse_address(str(ipaddress.ip_address(data[FIXED : FIXED + size])))))


async def read_header(connection: socket.socket) -> str | None:
    """Take a header off a connection that no transport has yet, and no byte more: what follows may be TLS.

    :returns: the peer that it names, or None.
    :raises ProxyHeaderError: it is malformed, or the connection ended before its end.
    :raises OSError: the connection failed, or ended before its first byte.
    """
    seen = 0
    while True:
        await readable(connection)
        data = connection.recv(LONGEST, socket.MSG_PEEK)
        header = parse_header(data)
        if header is not None:
            break
        if not data:
            raise ConnectionAbortedError
        if len(data) == seen:
            raise ProxyHeaderError("the header is cut short")
        seen = len(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)  # readable only when more has come
    if seen:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    connection.recv(header.length)
    return header.peer


async def readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(connection, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(connection)
