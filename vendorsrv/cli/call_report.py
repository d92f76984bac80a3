"""The result of a call, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from vendorsrv.nova.client import Result

FATAL = "[api] vendordata_dynamic_failure_fatal"


def render(result: Result, console: Console, remarks: Console | None = None) -> None:
    """Print the entry of ``vendor_data2.json``, and then what Nova makes of the answer.

    :param console: for the entry alone, as JSON.
    :param remarks: for the rest; the same console by default.
    """
    remarks = console if remarks is None else remarks
    if result.entry is not None:
        show_json(json.dumps(json.loads(result.entry), indent=2), console)
    for style, line in lines(result):
        remarks.print(Text(line, style=style), soft_wrap=True)


def show_json(text: str, console: Console) -> None:
    if console.is_terminal:
        console.print(JSONHighlighter()(text), soft_wrap=True)
    else:  # highlighting takes seconds for a megabyte
        console.file.write(f"{text}\n")


def lines(result: Result) -> list[tuple[str, str]]:
    answered = "no answer" if result.status is None else f"status {result.status}"
    found = [("dim", f"{result.url}: {answered}, {result.elapsed:.2f} s")]
    if result.always_raises:
        found.append(("bold red", f"Nova raises {result.raises}, even with {FATAL} off: {result.dropped}."))
        found.append(("red", f"The instance gets no vendor_data2.json at all. Nova's error: {result.error}"))
    elif result.dropped is not None:
        found.append(("bold red", f"Nova drops this answer and uses {{}} instead: {result.dropped}."))
        found.append(("red", f"With {FATAL} on, it raises {result.raises}: {result.error}"))
    return found + [("yellow", f"Warning: {warning}.") for warning in result.warnings]


def as_json(result: Result) -> dict[str, Any]:
    """Return the result for ``--json``.

    :returns: a valid JSON object. Where Nova's own text is not valid JSON (``NaN``), ``value`` is null and ``entry``
        is that text instead of an object.
    """
    value: Any = result.value
    entry: Any = None if result.entry is None else {result.name: value}
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        value, entry = None, result.entry
    return {
        "name": result.name,
        "url": result.url,
        "kept": result.dropped is None,
        "value": value,
        "entry": entry,
        "status": result.status,
        "elapsed": round(result.elapsed, 3),
        "headers": dict(result.headers),
        "dropped": result.dropped,
        "error": result.error,
        "raises": result.raises,
        "always_raises": result.always_raises,
        "warnings": list(result.warnings),
    }
