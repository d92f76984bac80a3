"""The peer that trusted HTTP proxies name, in ``Forwarded`` (RFC 7239) or ``X-Forwarded-For``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from vendorsrv.peers.addresses import Networks, parse_address

#: One ``name=value`` of ``Forwarded``; the value is a token or a quoted string (RFC 7239, section 4).
PAIR: Final = r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=([!#$%&\'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*")\s*'
PAIRS: Final = re.compile(rf"{PAIR}([;,]|$)")
#: A node: an IPv4 address, or an IPv6 address in brackets, with or without a port (RFC 7239, section 6).
NODE: Final = re.compile(r"(?:\[([^]]+)\]|([0-9.]+))(?::\w+)?")


def forwarded_peer(sender: str, headers: Iterable[tuple[bytes, bytes]], trusted: Networks) -> str:
    """Return the address of who asked, as the proxies on the way tell it.

    Each proxy adds, at the right, the address that it was asked from. These are believed from the right for as long as
    the one that added them is trusted. Both headers together are not believed: most proxies write one of them and pass
    on the other as a stranger made it up.

    :param sender: the address that the connection came from, or that the PROXY protocol names.
    :param headers: those of the request, with names in lower case.
    :returns: the first address that is not trusted's, or the last that is known.
    """
    texts: dict[bytes, str] = {}
    for name, value in headers:
        if name in (b"forwarded", b"x-forwarded-for"):
            text = value.decode("latin-1")
            texts[name] = f"{texts[name]},{text}" if name in texts else text
    if len(texts) != 1:
        return sender
    ((name, text),) = texts.items()
    hops = forwarded_hops(text) if name == b"forwarded" else text.split(",")
    for hop in reversed(hops):
        if not trusted.includes(sender) or not (address := node_address(hop.strip())):
            break
        sender = address
    return sender


def forwarded_hops(text: str) -> list[str]:
    """Return what each element of ``Forwarded`` has as ``for``, empty if nothing; none if the header is malformed."""
    hops = [""]
    position = 0
    while position < len(text):
        pair = PAIRS.match(text, position)
        if not pair:
            return []
        name, value, end = pair.groups()
        if name.lower() == "for":
            hops[-1] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value
        if end == ",":
            hops.append("")
        position = pair.end()
    return hops


def node_address(text: str) -> str:
    """Return the address of a node; empty if it has none, as ``unknown``, ``_hidden`` and what is malformed."""
    node = NODE.fullmatch(text)
    try:
        return str(parse_address((node[1] or node[2]) if node else text))
    except ValueError:
        return ""
