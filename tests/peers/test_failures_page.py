"""The first table of docs/failures.md is what test_responses_in_nova.py sees Nova make of each failure."""

from __future__ import annotations

import re
from typing import Final

from tests.support.peers.responses import OUTAGES, REFUSALS, Failure
from tests.support.processes import ROOT

PAGE: Final = ROOT / "docs" / "failures.md"
#: How the page describes a message that it cannot quote.
IN_OTHER_WORDS: Final = ("the same", "the handler's message")


def page_rows() -> list[list[str]]:
    """The rows of the page's first table: answer, log, and class."""
    table = PAGE.read_text().partition("| vendorsrv answers |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")][1:] for line in table.splitlines()[2:]]


def normal(text: str) -> str:
    """A message without what differs from server to server."""
    text = re.sub(r"handler [a-z-]+", "handler NAME", text)
    text = re.sub(r"https?://[a-z.…]+(:\d+)?/", "URL/", text)
    return re.sub(r"\d+(\.\d+)?", "N", text)


def shown_by(failure: Failure, answer: str, log: str, raises: str) -> bool:
    """Whether a row of the page has this answer, its class, and what is quoted of its message."""
    quoted = re.findall(r"`([^`]+)`", log)
    patterns = [" *.* *".join(re.escape(part.strip()) for part in normal(each).split("…")) for each in quoted]
    said = any(re.search(pattern, normal(failure.message)) for pattern in patterns)
    ours = failure.answer == answer.replace("`", "") if failure.answer else not answer[:3].isdecimal()
    return ours and raises.split(" or ") == [*failure.raises] and (said or log.startswith(IN_OTHER_WORDS))


def test_each_failure_of_the_page_is_shown() -> None:
    """These tests cover each row of the first table of docs/failures.md."""
    failures = [*REFUSALS.values(), *OUTAGES.values()]
    assert [] == [row for row in page_rows() if not any(shown_by(each, *row) for each in failures)]


def test_the_page_has_all_codes() -> None:
    """Each error code that Nova can get from a handler's path has a row in docs/failures.md."""
    codes = {failure.answer for failure in [*REFUSALS.values(), *OUTAGES.values()] if failure.answer}
    assert {"405 method_not_allowed"} == codes - {answer.replace("`", "") for answer, _, _ in page_rows()}
