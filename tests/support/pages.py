"""The pages of the documentation, taken apart: fenced blocks, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
FENCE: Final = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block.

    :ivar name: the file name after the language, or nothing.
    :ivar line: where its fence opens in the page.
    """

    page: Path
    line: int
    language: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{shown(self.page)}:{self.line}"


def shown(page: Path) -> str:
    """A page's path as messages have it."""
    return str(page.relative_to(ROOT))


def page(name: str) -> Path:
    """A page of docs/ by its name without the suffix."""
    return ROOT / "docs" / f"{name}.md"


def blocks(of: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, or those in some languages."""
    text = of.read_text()
    found = (Block(of, text[: each.start()].count("\n") + 1, *each.groups()) for each in FENCE.finditer(text))
    return [block for block in found if not languages or block.language in languages]


def all_blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all pages in some languages."""
    return [block for each in PAGES for block in blocks(each, *languages)]


def prose(of: Path) -> str:
    """A page's text without its fenced blocks."""
    return FENCE.sub("", of.read_text())


def section(of: Path, heading: str) -> str:
    """What stands below a heading, up to the next one that is not below it."""
    text = prose(of)
    start = text.index(f"{heading}\n")
    level = heading.partition(" ")[0]
    end = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(text, start + len(heading))
    return text[start : end.start() if end else None]


def rows(text: str) -> Iterator[list[str]]:
    """The rows of the tables in a text, without their heads; a cell in backticks loses them."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        head = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("| ") and not head:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(cell: str) -> str:
    """A table's cell without its backticks."""
    return cell.strip("`")


def anchors(of: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(of), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(of: Path) -> list[str]:
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(of))
