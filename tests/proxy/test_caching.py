"""A proxy keeps answers as RFC 9111 and RFC 5861 have it, and no longer than the operator allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.fixtures import Clock
from tests.support.serving import BODY, section
from tests.support.stores import OwnRedis
from tests.support.upstreams import Endpoint, Other, proxy, proxying
from tests.support.waiting import wait_until
from vendorsrv.testing.upstream import Received, Reply


@pytest.fixture
def other() -> Iterator[Other]:
    """Another vendordata server."""
    with Other() as other:
        yield other


def says(control: str, number: int = 1, **headers: str) -> Reply:
    """Answer with a number, and this Cache-Control."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(b'{"number": %d}' % number, {"Cache-Control": control, **named})


def numbers(front: Endpoint, times: int = 1) -> list[Any]:
    """Ask so many times for the number, or the message."""
    outcomes = [front.outcome() for _ in range(times)]
    return [outcome["number"] if status == 200 else outcome for status, outcome in outcomes]


@pytest.mark.parametrize(
    ("control", "reached"),
    [("max-age=60", 1), ("no-store", 10), ("max-age=60, no-store", 10)],
)
def test_ten_calls(tmp_path: Path, other: Other, clock: Clock, control: str, reached: int) -> None:
    """The other server sees as many of them as it asks for."""
    other.reply = says(control)
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        assert [1] * 10 == numbers(front, 10)
    assert reached == len(other.received)


def test_stale_if_error(tmp_path: Path, other: Other, clock: Clock) -> None:
    """After a minute, with the other server down, the answer serves on for as long as its source said."""
    other.reply = says("max-age=60, stale-if-error=600")
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        other.stop()
        clock.now += 61
        assert [1, 1] == numbers(front, 2)
        clock.now += 600
        assert ["upstream rack cannot be reached"] == numbers(front)


def test_what_came_instead_is_counted(tmp_path: Path, other: Other, clock: Clock) -> None:
    """``ready`` has it."""
    other.reply = says("max-age=1, stale-if-error=600")
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        other.stop()
        clock.now += 2
        numbers(front, 2)
        ready = front.server.client.get("/-/ready").json()
    assert {"state": "ok", "urls": ["resting"], "stale": 2} == ready["handlers"]["rack"]


def test_a_no_is_no_error(tmp_path: Path, other: Other, clock: Clock) -> None:
    """``stale-if-error`` is for servers that cannot, not for those that will not."""
    other.reply = says("max-age=60, stale-if-error=600")
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        clock.now += 61
        other.reply = Reply(status=403)
        assert ["upstream rack answered with status 403"] == numbers(front)


@pytest.mark.parametrize("control", ["no-cache", "max-age=60, must-revalidate", "no-store"])
def test_what_may_not_be_stale_is_not(tmp_path: Path, other: Other, clock: Clock, control: str) -> None:
    """Not even where the operator wants the last good answer."""
    other.reply = says(f"{control}, stale-if-error=600, stale-while-revalidate=600", ETag='"1"')
    with proxying(tmp_path, proxy(url=other.url, on_error="stale"), clock=clock) as front:
        numbers(front)
        clock.now += 61
        other.stop()
        assert ["upstream rack cannot be reached"] == numbers(front)


def test_the_last_good_answer(tmp_path: Path, other: Other, clock: Clock) -> None:
    """``on_error = stale`` gives it however old, also when the server said nothing of it, or says no now."""
    with proxying(tmp_path, proxy(url=other.url, on_error="stale"), clock=clock) as front:
        assert (200, {"rack": "r1"}) == front.outcome()
        other.reply = Reply(status=403)
        clock.now += 90_000
        assert (200, {"rack": "r1"}) == front.outcome()
    assert 2 == len(other.received)


def test_stale_while_revalidate(tmp_path: Path, other: Other, clock: Clock) -> None:
    """Nobody waits: the old answer is given while one request, however many ask, gets the new one."""
    other.reply = says("max-age=60, stale-while-revalidate=30")
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        clock.now += 61
        may_answer = Event()

        def late(_: Received) -> Reply:
            may_answer.wait(60)
            return says("max-age=60", 2)

        other.reply = late
        assert [1, 1, 1] == numbers(front, 3)
        may_answer.set()
        wait_until(lambda: numbers(front) == [2])
        assert 2 == len(other.received)


def test_stale_while_revalidate_has_its_end(tmp_path: Path, other: Other, clock: Clock) -> None:
    """After it one waits for the new answer."""
    other.reply = says("max-age=60, stale-while-revalidate=30")
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        clock.now += 91
        other.reply = says("max-age=60", 2)
        assert [2] == numbers(front)


@pytest.mark.parametrize(
    ("control", "cache_for", "age", "reached"),
    [
        ("max-age=60", 10, 9, 1),
        ("max-age=60", 10, 11, 2),
        ("max-age=60", 600, 61, 2),
        ("max-age=60", 0, 0, 2),
        ("max-age=60, stale-while-revalidate=600", 70, 71, 2),
        ("", 60, 59, 1),
        ("", 60, 61, 2),
        ("", None, 0, 2),
        ("private, no-cache", 60, 0, 2),
    ],
)
def test_the_operator_s_bound(
    tmp_path: Path, other: Other, clock: Clock, *, control: str, cache_for: int | None, age: int, reached: int
) -> None:
    """``cache_for`` is the most that an answer is used, and all of it where the other server is silent."""
    other.reply = says(control)
    with proxying(tmp_path, proxy(url=other.url, cache_for=cache_for), clock=clock) as front:
        numbers(front)
        clock.now += age
        numbers(front)
    assert reached == len(other.received)


def tagged(received: Received) -> Reply:
    """Answer as a server that knows its own tag."""
    if received.headers.get("If-None-Match") == '"one"':
        return Reply(b"", {"Cache-Control": "max-age=60", "ETag": '"one"'}, 304)
    return says("max-age=60", ETag='"one"')


def test_an_answer_that_has_not_changed(tmp_path: Path, other: Other, clock: Clock) -> None:
    """It is not sent again, and is fresh again."""
    other.reply = tagged
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        for _ in range(2):
            clock.now += 61
            assert [1, 1] == numbers(front, 2)
    assert [None, '"one"', '"one"'] == [request.headers.get("If-None-Match") for request in other.received]


@pytest.mark.parametrize("status", [304, 412])
def test_unchanged_without_a_word(tmp_path: Path, other: Other, clock: Clock, status: int) -> None:
    """What was said of the answer holds again; 412 says the same of a POST."""
    other.reply = says("max-age=60", ETag='W/"one"')
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        clock.now += 61
        other.reply = Reply(b"", {}, status)
        assert [1, 1] == numbers(front, 2)
    assert 2 == len(other.received)


def test_another_tag_is_no_proof(tmp_path: Path, other: Other, clock: Clock) -> None:
    """304 for an answer that we do not have."""
    other.reply = says("max-age=60", ETag='"one"')
    with proxying(tmp_path, proxy(url=other.url), clock=clock) as front:
        numbers(front)
        clock.now += 61
        other.reply = Reply(b"", {"ETag": '"two"'}, 304)
        assert ["upstream rack knows another answer than ours, and does not give it"] == numbers(front)


def test_unchanged_without_being_asked(tmp_path: Path, other: Other) -> None:
    """304 to a request without a condition is no answer."""
    other.reply = Reply(b"", {}, 304)
    with proxying(tmp_path, proxy(url=other.url)) as front:
        assert ["upstream rack answered with status 304"] == numbers(front)


def test_a_tag_goes_back_to_its_own_server(tmp_path: Path, other: Other, clock: Clock) -> None:
    """Another one may use the same for something else."""
    other.reply = tagged
    with Other() as second:
        second.reply = tagged
        with proxying(tmp_path, proxy(url=[other.url, second.url]), clock=clock) as front:
            numbers(front)
            other.stop()
            clock.now += 61
            assert [1] == numbers(front)
        assert "If-None-Match" not in second.received[0].headers


def test_another_instance_is_another_answer(tmp_path: Path, other: Other) -> None:
    """So is another request about the same one."""
    other.reply = says("max-age=60")
    with proxying(tmp_path, proxy(url=other.url)) as front:
        for body in (BODY, BODY.replace(b"web-1", b"web-2"), BODY.replace(b"0b1c2d", b"0b1c2e"), BODY):
            front.ask(body=body)
    assert 3 == len(other.received)


def test_the_shared_store_has_it_all(tmp_path: Path, other: Other) -> None:
    """Another worker finds the answer, and how long it lasts; without the store it asks again."""
    other.reply = tagged
    with OwnRedis() as store:
        options = {"enabled": True, "backend": "dogpile.cache.redis", "redis_server": f"127.0.0.1:{store.port}"}
        text = [proxy(url=other.url), section("cache", options)]
        for _ in range(2):
            with proxying(tmp_path, *text) as front:
                assert [1] == numbers(front)
        assert 1 == len(other.received)
        store.stop()
        with proxying(tmp_path, *text) as front:
            assert [1] == numbers(front)
        assert 2 == len(other.received)
