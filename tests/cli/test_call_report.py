"""The result of a call is printed for people as the instance would see it, and for programs as one object."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from vendorsrv.cli.call import as_json, show
from vendorsrv.nova.client import Result

KEPT = Result(
    "mail", "http://h/x", 0.1234, 200, {}, {"role": "m\u00fc"}, '{"mail": {"role": "m\\u00fc"}}', warnings=("odd",)
)
DROPPED = Result("mail", "http://h/x", 5.0, None, {}, {}, '{"mail": {}}', "too slow", "timed out", "ConnectTimeout")
RAISED = Result("mail", "http://h/x", 0.1, 200, dropped="deep", error="e", raises="RecursionError", always_raises=True)
NO_JSON = Result("mail", "http://h/x", 0.1, 200, {}, [float("nan")], '{"mail": [NaN]}')


def printed(result: Result, *, terminal: bool = False) -> str:
    """Return what a console of 40 columns gets."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=40, color_system="standard" if terminal else None)
    show(result, console, console)
    return out.getvalue()


def test_a_kept_answer_is_json_and_then_remarks() -> None:
    """A kept answer is printed as indented ASCII JSON, followed by the remarks."""
    assert printed(KEPT) == (
        '{\n  "mail": {\n    "role": "m\\u00fc"\n  }\n}\nhttp://h/x: status 200, 0.12 s\nWarning: odd.\n'
    )


def test_a_dropped_answer_is_explained() -> None:
    """A dropped answer is printed with the reason, and with what Nova raises when failures are fatal."""
    assert printed(DROPPED) == (
        '{\n  "mail": {}\n}\nhttp://h/x: no answer, 5.00 s\n'
        "Nova drops this answer and uses {} instead: too slow.\n"
        "With [api] vendordata_dynamic_failure_fatal on, it raises ConnectTimeout: timed out\n"
    )


def test_an_answer_that_always_raises() -> None:
    """An answer that makes Nova raise in any case is printed without an entry."""
    assert printed(RAISED) == (
        "http://h/x: status 200, 0.10 s\n"
        "Nova raises RecursionError, even with [api] vendordata_dynamic_failure_fatal off: deep.\n"
        "The instance gets no vendor_data2.json at all. Nova's error: e\n"
    )


def test_colours_on_a_terminal() -> None:
    """On a terminal the entry and the remarks are coloured."""
    assert "\x1b[" in printed(KEPT, terminal=True)


def test_remarks_can_have_their_own_console() -> None:
    """With a console for remarks, the other console gets the entry alone."""
    entry, remarks = io.StringIO(), io.StringIO()
    show(KEPT, Console(file=entry), Console(file=remarks))
    assert {"mail": {"role": "m\u00fc"}} == json.loads(entry.getvalue())
    assert "http://h/x: status 200, 0.12 s\nWarning: odd.\n" == remarks.getvalue()


def test_the_json_object_has_the_whole_result() -> None:
    """The JSON object has every part of the result."""
    assert as_json(DROPPED) == {
        "name": "mail",
        "url": "http://h/x",
        "kept": False,
        "value": {},
        "entry": {"mail": {}},
        "status": None,
        "elapsed": 5.0,
        "headers": {},
        "dropped": "too slow",
        "error": "timed out",
        "raises": "ConnectTimeout",
        "always_raises": False,
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("result", "value", "entry"),
    [
        (KEPT, {"role": "m\u00fc"}, {"mail": {"role": "m\u00fc"}}),
        (RAISED, None, None),
        (NO_JSON, None, '{"mail": [NaN]}'),
    ],
)
def test_the_json_object_is_always_valid(result: Result, value: object, entry: object) -> None:
    """The JSON object is valid even when Nova's own text is not: the text is then a string."""
    found = json.loads(json.dumps(as_json(result), allow_nan=False))
    assert (value, entry) == (found["value"], found["entry"])
