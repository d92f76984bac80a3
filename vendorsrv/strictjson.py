"""JSON that every program on the way to the instance can read: RFC 8259 with I-JSON's rules (RFC 7493, section 2)."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NoReturn

#: Levels of arrays and objects. Nova raises RecursionError on deep JSON even with failure_fatal off.
MAX_DEPTH: Final = 64
#: Values in a document of others, lists and objects included. Nova sends some hundreds; a megabyte of ``[],[],``
#: would keep the event loop for seconds.
MAX_VALUES: Final = 10_000
#: The largest number that every reader's floats hold (RFC 7493, 2.2).
LARGEST: Final = sys.float_info.max
#: Where a value is: the place that contains it, and its name or index there. Formatted only for a message.
Place = tuple[Any, str | int]


class StrictJSONError(ValueError):
    """The value is not I-JSON; the text says where, and contains nothing of the value but member names."""


def parse(body: bytes, max_values: int | None = None) -> Any:
    """Parse UTF-8 JSON; refuse what parsers disagree on.

    :param body: the whole text, without a byte order mark.
    :param max_values: the limit on values, checked before anything is built; :data:`MAX_VALUES` for documents of
        others.
    :returns: the value, as :func:`json.loads` builds it.
    :raises StrictJSONError: not JSON, a duplicate member name, ``NaN`` or ``Infinity``, a number that no float
        holds, a lone surrogate, more than :data:`MAX_DEPTH` levels, or too many values.
    """
    # Most bodies have fewer commas and brackets than that, those in strings included.
    if max_values is not None and count_values(body) > max_values < count_values(without_strings(body)):
        raise StrictJSONError(f"has more than {max_values} values")
    try:
        value = DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise StrictJSONError(f"is nested deeper than {MAX_DEPTH} levels") from None
    # Only an escape can make a lone surrogate, and every level needs a bracket: most bodies need no walk.
    if b"\\u" in body or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        check(value)
    return value


def count_values(text: bytes) -> int:
    """Count a JSON text's values without parsing it; an empty list or object counts twice."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def without_strings(text: bytes) -> bytes:
    """Return JSON without its strings, in linear time, also when the last one has no end."""
    return b"".join(text.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])


def encode(value: Any) -> bytes:
    """Turn a value into compact UTF-8 JSON.

    :raises StrictJSONError: see :func:`check`.
    """
    check(value)
    return ENCODER.encode(value).encode("utf-8")


def check(value: Any, place: Place | None = None, depth: int = 0) -> None:
    """Refuse a value that is not JSON, or that a program on the way to the instance cannot read.

    :param value: what :func:`json.loads` would return; tuples count as lists.
    :param place: where the value is, for the message.
    :raises StrictJSONError: the message names the place, never the value.
    """
    if isinstance(value, dict):
        check_names(value, place)
        check_items(value.items(), place, depth)
    elif isinstance(value, list | tuple):
        check_items(enumerate(value), place, depth)
    elif isinstance(value, str):
        check_text(value, place)
    elif isinstance(value, int | float):
        if not -LARGEST <= value <= LARGEST:
            raise StrictJSONError(f"{shown(place)}is not a finite number")
    elif value is not None:
        raise StrictJSONError(f"{shown(place)}is of type {type(value).__name__}, which is not JSON")


def check_names(value: dict[Any, Any], place: Place | None) -> None:
    for name in value:
        if not isinstance(name, str):
            raise StrictJSONError(f"{shown(place)}has a member name of type {type(name).__name__}, not str")
        if not name.isascii():
            check_text(name, place)


def check_items(items: Iterable[tuple[str | int, Any]], place: Place | None, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise StrictJSONError(f"is nested deeper than {MAX_DEPTH} levels")
    for name, item in items:
        if not (isinstance(item, str) and item.isascii()):  # most are; a call for each takes twice as long
            check(item, (place, name), depth + 1)


def check_text(text: str, place: Place | None) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJSONError(f"{shown(place)}has a lone surrogate, which is not Unicode text") from None


def shown(place: Place | None) -> str:
    """Return a place as ``domains[0].name`` and a space; nothing for the whole value."""
    path = ""
    while place is not None:
        place, name = place
        dot = "." if place is not None else ""
        path = (f"[{name}]" if isinstance(name, int) else f"{dot}{name}") + path
    # The sender chooses the names, at any length and with any character; a message is one short line.
    text = path[:80].encode("unicode_escape").decode("ascii")
    return f"{text} " if text else ""


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise StrictJSONError(f"has the member {shown((None, counts.most_common(1)[0][0]))}more than once")
    return members


def finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictJSONError("has a number that is out of range")
    return number


def whole(text: str) -> int:
    finite(text)
    return int(text)


def refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"has {name}, which is not JSON")


#: One for the process: ``json.loads`` with hooks would build a decoder for every body.
DECODER: Final = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_float=finite, parse_int=whole, parse_constant=refuse_constant
)
ENCODER: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
