"""Several slow servers behind one Nova target take the time of one, and one that is down costs its own entry alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest

from tests.support.upstreams import Other, proxy, proxying
from vendorsrv.testing.upstream import Received, Reply

NAMES = ("site", "rack", "keys")


@pytest.fixture
def others() -> Iterator[list[Other]]:
    """Three servers."""
    with ExitStack() as stack:
        others = [stack.enter_context(Other()) for _ in NAMES]
        for name, other in zip(NAMES, others, strict=True):
            other.reply = reply_of(name)
        yield others


def reply_of(name: str) -> Reply:
    """Give what a server answers."""
    return Reply(b'{"from": "%s"}' % name.encode())


def test_a_fan_out_calls_all_upstreams_concurrently(tmp_path: Path, others: list[Other]) -> None:
    """``POST /`` calls all proxies before any of them has answered."""
    all_asked = Barrier(len(NAMES))

    def answering(name: str) -> Callable[[Received], Reply]:
        def reply(_: Received) -> Reply:
            all_asked.wait(60)
            return reply_of(name)

        return reply

    for name, other in zip(NAMES, others, strict=True):
        other.reply = answering(name)
    with proxying(tmp_path, *map(section_of, NAMES, others)) as front:
        outcome = front.outcome("/")
    assert (200, {name: {"from": name} for name in sorted(NAMES)}) == outcome


def section_of(name: str, other: Other, **options: object) -> str:
    """Give the section of one proxy."""
    return proxy(name, url=other.url, **options)


@pytest.mark.parametrize(
    ("mode", "status", "entry"),
    [("empty", 200, {}), ("stale", 200, {"from": "keys"}), ("fail", 502, None)],
)
def test_one_unavailable_upstream_costs_only_its_own_entry(
    tmp_path: Path, others: list[Other], *, mode: str, status: int, entry: dict[str, str] | None
) -> None:
    """The other entries arrive; its own ``on_error`` decides on the rest."""
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
