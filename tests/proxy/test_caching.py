"""A proxy caches an answer for the smaller of ``cache_for`` and its upstream's ``max-age``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fixtures import Clock
from tests.support.serving import BODY, section
from tests.support.stores import OwnRedis
from tests.support.upstreams import Endpoint, Other, proxy, proxying
from vendorsrv.testing.upstream import Reply


@pytest.fixture
def other() -> Iterator[Other]:
    """Another vendordata server."""
    with Other() as other:
        yield other


def says(control: str, number: int = 1) -> Reply:
    """Answer with a number, and this Cache-Control."""
    return Reply(b'{"number": %d}' % number, {"Cache-Control": control})


def numbers(front: Endpoint, times: int = 1) -> list[Any]:
    """Ask so many times for the number, or the message."""
    outcomes = [front.outcome() for _ in range(times)]
    return [outcome["number"] if status == 200 else outcome for status, outcome in outcomes]


@pytest.mark.parametrize(
    ("control", "reached"),
    [("max-age=60", 1), ("no-store", 10), ("max-age=60, no-store", 10), ("no-cache", 10), ("max-age=0", 10)],
)
def test_ten_calls(tmp_path: Path, other: Other, clock: Clock, control: str, reached: int) -> None:
    """Of ten calls with the same request, the upstream gets one where max-age allows it, and ten elsewhere."""
    other.reply = says(control)
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        assert [1] * 10 == numbers(front, 10)
    assert reached == len(other.received)


@pytest.mark.parametrize("control", ["no-store", "no-cache"])
def test_an_answer_that_must_not_be_stored_is_no_fallback(
    tmp_path: Path, other: Other, clock: Clock, control: str
) -> None:
    """With ``on_error = stale``, an answer with no-store or no-cache is not stored: there is none when it is needed."""
    other.reply = says(f"{control}, max-age=60")
    with proxying(tmp_path, proxy(url=other.url, on_error="stale", cache_for=60), clock=clock) as front:
        numbers(front)
        other.stop()
        assert ["upstream rack cannot be reached"] == numbers(front)


def test_the_last_good_answer(tmp_path: Path, other: Other, clock: Clock) -> None:
    """With ``on_error = stale``, the last good answer is the fallback however old, also after a 4xx; it is counted."""
    other.reply = says("max-age=1")
    with proxying(tmp_path, proxy(url=other.url, on_error="stale"), clock=clock) as front:
        numbers(front)
        other.reply = Reply(status=403)
        clock.now += 90_000
        assert [1] == numbers(front)
        other.stop()
        assert [1] == numbers(front)
        ready = front.server.client.get("/-/ready").json()
    assert 2 == len(other.received)
    assert {"state": "ok", "urls": ["unavailable"], "stale": 2} == ready["handlers"]["rack"]


@pytest.mark.parametrize(
    ("control", "cache_for", "age", "reached"),
    [
        ("max-age=60", None, 59, 1),
        ("max-age=60", None, 60, 2),
        ("max-age=60", 10, 9, 1),
        ("max-age=60", 10, 11, 2),
        ("max-age=60", 600, 61, 2),
        ("max-age=60", 0, 0, 2),
        ("", 60, 59, 1),
        ("", 60, 61, 2),
        ("", None, 0, 2),
        ("private, no-cache", 60, 0, 2),
    ],
)
def test_an_answer_is_cached_for_the_smaller_of_cache_for_and_max_age(
    tmp_path: Path, other: Other, clock: Clock, *, control: str, cache_for: int | None, age: int, reached: int
) -> None:
    """Each limits the time if it is set; with neither, nothing is cached."""
    other.reply = says(control)
    with proxying(tmp_path, proxy(url=other.url, cache_for=cache_for), clock=clock) as front:
        numbers(front)
        clock.now += age
        numbers(front)
    assert reached == len(other.received)


def test_another_instance_is_another_answer(tmp_path: Path, other: Other) -> None:
    """A cached answer is only for the same request: another instance, or another hostname, asks the upstream."""
    other.reply = says("max-age=60")
    with proxying(tmp_path, proxy(url=other.url)) as front:
        for body in (BODY, BODY.replace(b"web-1", b"web-2"), BODY.replace(b"0b1c2d", b"0b1c2e"), BODY):
            front.ask(body=body)
    assert 3 == len(other.received)


@pytest.mark.parametrize(("cache_for", "first", "later"), [(None, 60, 29), (50, 50, 19)])
def test_a_proxy_s_own_max_age_is_what_is_left(
    tmp_path: Path, other: Other, clock: Clock, *, cache_for: int | None, first: int, later: int
) -> None:
    """The age of a cached answer reduces the max-age of the response."""
    other.reply = says("max-age=60")
    with proxying(tmp_path, proxy(url=other.url, cache_for=cache_for), clock=clock) as front:
        controls = [front.ask().headers["Cache-Control"]]
        clock.now += 31
        controls.append(front.ask().headers["Cache-Control"])
    assert [f"private, max-age={first}", f"private, max-age={later}"] == controls


def test_workers_share_an_answer_and_its_max_age(tmp_path: Path, other: Other) -> None:
    """Another worker finds the answer in the shared cache, with what is left of max-age; without it, it asks again."""
    other.reply = says("max-age=600")
    with OwnRedis() as store:
        options = {"enabled": True, "backend": "dogpile.cache.redis", "redis_server": f"127.0.0.1:{store.port}"}
        text = [proxy(url=other.url), section("cache", options)]
        controls = []
        for _ in range(2):
            with proxying(tmp_path, *text) as front:
                controls.append(front.ask().headers["Cache-Control"])
        assert 1 == len(other.received)
        store.stop()
        with proxying(tmp_path, *text) as front:
            assert [1] == numbers(front)
        assert 2 == len(other.received)
    first, second = (int(control.removeprefix("private, max-age=")) for control in controls)
    assert 600 == first >= second > 0
