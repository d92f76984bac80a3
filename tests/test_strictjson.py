"""Strict JSON: refused bodies and values, the place in the message, and accepted ones."""

from __future__ import annotations

import json
import time
from enum import IntEnum

import pytest

from vendorsrv.strictjson import MAX_VALUES, StrictJSONError, encode, parse


class Weekday(IntEnum):
    """An integer type of its own."""

    SUNDAY = 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not JSON: Expecting value (line 1, column 1)"),
        (b"{'a': 1}", "is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        (b'{"a": 1} {}', "is not JSON: Extra data (line 1, column 10)"),
        (b"\xef\xbb\xbf{}", "is not JSON: Expecting value (line 1, column 1)"),
        (b'"\xff"', "is not UTF-8 (byte 1)"),
        (b'"\xed\xa0\x80"', "is not UTF-8 (byte 1)"),
        (b'{"a": 1, "a": 1}', "has the member a more than once"),
        (b'{"b": [{"a": 1, "a": 2}]}', "has the member a more than once"),
        (b'{"a": 1, "\\u0061": 2}', "has the member a more than once"),
        (b'{"\\n": 1, "\\u000a": 2}', "has the member \\n more than once"),
        (b"[NaN]", "has NaN, which is not JSON"),
        (b"-Infinity", "has -Infinity, which is not JSON"),
        (b"1e999", "has a number that is out of range"),
        (b"1" + b"0" * 309, "has a number that is out of range"),
        (b"-" + b"9" * 5000, "has a number that is out of range"),
        (b"[" * 65 + b"]" * 65, "is nested deeper than 64 levels"),
        (b"[" * 100_000, "is nested deeper than 64 levels"),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "is nested deeper than 64 levels"),
        (b'{"a": [1, "\\ud800"]}', "a[1] has a lone surrogate, which is not Unicode text"),
        (b'{"a": {"\\udfff": 1}}', "a has a lone surrogate, which is not Unicode text"),
        (b'"\\ud800"', "has a lone surrogate, which is not Unicode text"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_json_that_parsers_read_differently_is_refused(body: bytes, message: str) -> None:
    """Invalid or ambiguous JSON is refused; the message has the place and not the value."""
    with pytest.raises(StrictJSONError) as caught:
        parse(body)
    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
        (b"[" + b"[], " * 100 + b"[]]", [[]] * 101),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b"-" + b"1" * 309, int("-" + "1" * 309)),
        (b"  [1.5, true, null]\n", [1.5, True, None]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_json_that_all_parsers_read_alike_is_accepted(body: bytes, value: object) -> None:
    """Nesting up to 64 levels, surrogate pairs and numbers in the range of a float are accepted."""
    assert value == parse(body)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, "is of type set, which is not JSON"),
        ({"a": [{"b": b""}]}, "a[0].b is of type bytes, which is not JSON"),
        ([{"a": {1: 2}}], "[0].a has a member name of type int, not str"),
        ({"a": float("nan")}, "a is not a finite number"),
        ([float("-inf")], "[0] is not a finite number"),
        ({"a": 10**309}, "a is not a finite number"),
        ({"a": "\ud800"}, "a has a lone surrogate, which is not Unicode text"),
        ({"line\nbreak": {1}}, "line\\nbreak is of type set, which is not JSON"),
        ({"a" * 200: {1}}, "a" * 80 + " is of type set, which is not JSON"),
    ],
)
def test_a_value_that_is_not_json_is_refused(value: object, message: str) -> None:
    """Encoding a value that JSON cannot express is an error; the message has its place in one short line."""
    with pytest.raises(StrictJSONError) as caught:
        encode(value)
    assert message == str(caught.value)


def test_a_value_that_contains_itself_is_refused() -> None:
    """Encoding a list that contains itself is refused as nested too deeply."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(StrictJSONError, match="is nested deeper than 64 levels"):
        encode(value)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ((1, (2,)), b"[1,[2]]"),
        ({"a": "ä"}, '{"a":"ä"}'.encode()),
        (Weekday.SUNDAY, b"7"),
        ([True, None, 1e300], b"[true,null,1e+300]"),
    ],
)
def test_a_value_is_encoded_as_compact_utf_8(value: object, body: bytes) -> None:
    """Values are encoded without spaces and without escapes; tuples become lists."""
    assert body == encode(value)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * 9_998 + b"1]",
        b'{"a": [' + b"[]," * 4_000 + b"1]}",
        b'["' + b"[,{" * 300_000 + b'"]',
        b'["' + rb"\",\\" * 100_000 + b'"]',
        b"[" + b'"\\\\",' * 9_000 + b"1]",
    ],
    ids=["values", "lists", "a string of brackets", "a string of escapes", "strings that end with a backslash"],
)
def test_a_document_within_the_limit_of_values_is_accepted(body: bytes) -> None:
    """What is in strings does not count, however many commas and brackets are there."""
    assert json.loads(body) == parse(body, MAX_VALUES)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * 10_000 + b"1]",
        b"[" + b"[]," * 10_000 + b"[]]",
        b'{"a":' * 10_000,
        b"[" + b'"[",' * 10_000 + b"1]",
        b"[" + b'"\\\\",' * 10_000 + b"1]",
        b"[" + b'"\\"",' * 10_000 + b"1]",
        b"[" + b"1," * 10_000 + rb'"\"\"\"',
        b"[" + b"1," * 10_000 + b'1"\\',
    ],
    ids=lambda body: str(body[:9] + body[-9:]),
)
def test_a_document_over_the_limit_of_values_is_refused(body: bytes) -> None:
    """Over 10,000 values are refused before anything is parsed, also in text that is not JSON."""
    with pytest.raises(StrictJSONError, match=r"^has more than 10000 values$"):
        parse(body, MAX_VALUES)


def test_without_a_limit_all_values_are_accepted() -> None:
    """A document of our own, such as an exported pin, may have any number of values."""
    assert [1] * 20_000 == parse(b"[" + b"1," * 19_999 + b"1]")


def test_long_names_cost_no_time() -> None:
    """A megabyte with many values below one long name is checked in less than a second."""
    body = b'{"' + b"a" * 800_000 + b'": ["\\u0041"' + b", 1" * 50_000 + b"]}"
    started = time.process_time()
    parse(body)
    assert 1.0 > time.process_time() - started
