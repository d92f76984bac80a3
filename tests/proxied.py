"""What a proxy makes of each behaviour of tests/misbehaviour.py; what Nova makes of it directly stands there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.misbehaviour import CASES, Peer, path
from tests.upstreams import proxy

UNREADABLE = "the answer of upstream … "
#: The answer that is passed on.
PASSED: dict[str, Any] = {
    "object": {"role": "mail-server"},
    "created": {"a": 1},
    "accepted": {"a": 1},
    "list": [1, [2]],
    "string": "#cloud-config",
    "number": 17,
    "true": True,
    "null": None,
    "no content": {},
    "empty body": {},
    "latin-1": "M\u00c3\u00bcller",
    "utf-8 text": "M\u00fcller",
    "true latin-1": "M\u00fcller",
    "dripping": {"a": "slow"},
    "chunked": {"a": 1},
    "gzip": {"a": 1},
}
#: The status and the message; … is the proxy's name.
REFUSED: dict[str, tuple[int, str]] = {
    "not modified": (502, "upstream … answered with status 304"),
    "no utf-8": (502, f"{UNREADABLE}is not UTF-8 (byte 2)"),
    "300": (502, "upstream … answered with status 300"),
    "302 without location": (502, "upstream … answered with status 302"),
    "5 MB": (502, "upstream … answered more than 1048576 bytes"),
    "duplicate names": (502, f"{UNREADABLE}has the member a more than once"),
    "lone surrogate": (502, f"{UNREADABLE}has a lone surrogate, which is not Unicode text"),
    "infinity": (502, f"{UNREADABLE}has Infinity, which is not JSON"),
    "out of range": (502, f"{UNREADABLE}has a number that is out of range"),
    "html": (502, f"{UNREADABLE}is not JSON: Expecting value (line 1, column 1)"),
    "white space": (502, f"{UNREADABLE}is not JSON: Expecting value (line 2, column 1)"),
    "byte order mark": (502, f"{UNREADABLE}is not JSON: Expecting value (line 1, column 1)"),
    "cloud-config": (502, f"{UNREADABLE}is not JSON: Expecting value (line 1, column 1)"),
    "long number": (502, f"{UNREADABLE}has a number that is out of range"),
    "deep": (502, f"{UNREADABLE}is nested deeper than 64 levels"),
    "errors that are strings": (502, "upstream … answered with status 500"),
    "receipt": (502, "upstream … answered with status 401"),
    "bad receipt": (502, "upstream … answered with status 401"),
    "relative location": (502, "upstream … answered with status 307"),
    "broken location": (502, "upstream … answered with status 307"),
    "silent": (504, "upstream … gave no answer in time"),
    "stuck in the body": (504, "upstream … gave no answer in time"),
    "hangs up": (502, "upstream … gave an answer that is not whole"),
    "cut short": (502, "upstream … gave an answer that is not whole"),
    "bad gzip": (502, "upstream … gave an answer that is not whole"),
    **{name: (502, f"upstream … answered with status {name}") for name in CASES if name.isdigit() and name > "399"},
}


def name_of(case: str) -> str:
    """Give the name of the proxy for a case."""
    return path(case)[1:].lower()


def sections(peer: Peer) -> Iterator[str]:
    """Give the section of a proxy for each case, with time enough for the slow ones that are good."""
    for case in CASES:
        yield proxy(name_of(case), url=peer.url + path(case), timeout=2, read_timeout=0.5)
