"""Several slow servers behind one Nova target take the time of one, and one that is down costs its own entry alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.serving import BODY, JSON
from tests.upstreams import Other, proxy, proxying
from vendorsrv.testing.upstream import Reply

NAMES = ("site", "rack", "keys")


@pytest.fixture
def others() -> Iterator[list[Other]]:
    """Three servers that take a second each."""
    with ExitStack() as stack:
        others = [stack.enter_context(Other()) for _ in NAMES]
        for name, other in zip(NAMES, others, strict=True):
            other.reply, other.delay = Reply(b'{"from": "%s"}' % name.encode()), 1.0
        yield others


def test_three_seconds_become_one(tmp_path: Path, others: list[Other], capsys: pytest.CaptureFixture[str]) -> None:
    """Nova asks its targets one after the other; ``POST /`` asks all at once."""
    started = time.monotonic()
    for other in others:
        httpx.post(other.url, content=BODY, headers=JSON)
    one_by_one = time.monotonic() - started
    with proxying(tmp_path, *map(section_of, NAMES, others)) as front:
        started = time.monotonic()
        outcome = front.outcome("/")
        together = time.monotonic() - started
    assert (200, {name: {"from": name} for name in sorted(NAMES)}) == outcome
    with capsys.disabled():
        sys.stdout.write(f"\n3 servers of 1 s: {one_by_one:.2f} s in turn, {together:.2f} s together, ")
        sys.stdout.write(f"{one_by_one / together:.1f} times as fast\n")
    assert 1.0 <= together < 1.6


def section_of(name: str, other: Other, **options: object) -> str:
    """Give the section of one proxy."""
    return proxy(name, url=other.url, **options)


@pytest.mark.parametrize(
    ("mode", "status", "entry"),
    [("empty", 200, {}), ("stale", 200, {"from": "keys"}), ("fail", 502, None)],
)
def test_one_of_three_is_down(
    tmp_path: Path, others: list[Other], *, mode: str, status: int, entry: dict[str, str] | None
) -> None:
    """The others' entries arrive; its own failure mode decides the rest."""
    for other in others:
        other.delay = 0.0
    sections = [*map(section_of, NAMES[:2], others), section_of("keys", others[2], on_error=mode)]
    with proxying(tmp_path, *sections) as front:
        front.ask("/")
        others[2].stop()
        response = front.ask("/")
    assert status == response.status_code
    if entry is None:
        assert "upstream keys cannot be reached" == response.json()["error"]["message"]
    else:
        assert {"keys": entry, "rack": {"from": "rack"}, "site": {"from": "site"}} == response.json()
