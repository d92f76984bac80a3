"""docs/testing.md lists everything that the kit has by name."""

from __future__ import annotations

import re
from collections.abc import Collection

import pytest

from tests.support.pages import page, rows, section
from vendorsrv import testing
from vendorsrv.testing import NAMES, VARIANTS
from vendorsrv.testing.switches import StoreSwitch


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("## Nova's bodies", VARIANTS),
        ("## An upstream that misbehaves", NAMES),
        ("## Stores that fail", StoreSwitch.behaviours),
    ],
)
def test_names_are_documented(heading: str, names: Collection[str]) -> None:
    """The table below the heading has each name, and no other."""
    cells = [row[0] for row in rows(section(page("testing"), heading))]
    assert sorted(names) == sorted(name for cell in cells for name in re.findall("`([^`]+)`", cell))


@pytest.mark.parametrize("name", testing.__all__)
def test_public_names_are_documented(name: str) -> None:
    """The page has every public name, but for types that no test needs to name."""
    assert name in {"Answer", "Received", "Server"} or name in page("testing").read_text()
