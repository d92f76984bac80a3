"""Encoding a handler's return value."""

from __future__ import annotations

import pytest

from vendorsrv import AnswerError
from vendorsrv.answer import to_bytes


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, b"{}"),
        ({}, b"{}"),
        ([], b"[]"),
        ("", b'""'),
        (0, b"0"),
        (False, b"false"),
        ({"a": [1, 2.5, None]}, b'{"a":[1,2.5,null]}'),
        ("ä" * 4, '"ääää"'.encode()),
    ],
)
def test_any_json_value_is_an_answer(value: object, body: bytes) -> None:
    """Each JSON value is encoded as it is, and None as ``{}``."""
    assert body == to_bytes(value, "mail", 10_000)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"when": object()}, "the answer of handler mail when is of type object, which is not JSON"),
        (float("nan"), "the answer of handler mail is not a finite number"),
        ("\ud800", "the answer of handler mail has a lone surrogate, which is not Unicode text"),
    ],
)
def test_a_value_that_is_not_json_is_an_error(value: object, message: str) -> None:
    """The message names the handler and the place, never the value."""
    with pytest.raises(AnswerError) as caught:
        to_bytes(value, "mail", 10_000)
    assert (500, "bad_answer", message) == (caught.value.status, caught.value.code, caught.value.message)


def test_the_limit_counts_bytes() -> None:
    """Four characters of ten bytes in UTF-8 exceed a limit of nine."""
    assert '"ääää"'.encode() == to_bytes("ääää", "mail", 10)
    with pytest.raises(AnswerError, match=r"^the answer of handler mail has 10 bytes; 9 are allowed$"):
        to_bytes("ääää", "mail", 9)
