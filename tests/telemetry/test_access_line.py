"""What the access line says of an answer: where it came from, its size and its digest."""

from __future__ import annotations

from typing import Any

import pytest

from vendorsrv import Handler, NotForThisInstance, OnError, ServiceUnavailable, VendordataRequest
from vendorsrv.testing import ManualClock, serve

ANSWER = b'{"rack":"b7"}'


class Rack(Handler):
    """Return one answer, until it fails."""

    fails = False

    async def handle(self, request: VendordataRequest) -> Any:
        """Fail if the hostname says so."""
        if request.hostname == "fails":
            raise ServiceUnavailable("later")
        return {"rack": "b7"}


class Cached(Rack):
    """Kept for a minute."""

    cache_for = 60.0


class Pinned(Rack):
    """Kept for ever."""

    pin = True


class Stale(Cached):
    """Kept for bad times."""

    on_error = OnError.STALE


class Empty(Rack):
    """Nobody needs it."""

    on_error = OnError.EMPTY


class NotHere(Handler):
    """For no instance."""

    pin = True

    def handle(self, request: VendordataRequest) -> Any:
        """Return nothing."""
        raise NotForThisInstance


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[object, object, object]]:
    """Return source, size and digest of each line."""
    lines = [record.__dict__["extra"] for record in caplog.records if record.name == "vendorsrv.access"]
    return [(line["source"], line["size"], line["digest"]) for line in lines]


@pytest.mark.parametrize(
    ("handler", "sources"),
    [(Rack, ["run", "run"]), (Cached, ["run", "cache"]), (Pinned, ["pin", "pin"]), (Stale, ["run", "cache"])],
)
def test_a_line_says_where_the_answer_came_from(
    handler: type[Handler], sources: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """An answer of 13 bytes has its source and the beginning of its SHA-256, the first time and the second."""
    caplog.set_level("INFO", "vendorsrv.access")
    with serve(handler) as server:
        assert [ANSWER, ANSWER] == [server.ask().body for _ in sources]
    assert [(source, 13, "daa5856283265443") for source in sources] == told(caplog)


def test_a_line_tells_a_fallback(caplog: pytest.LogCaptureFixture) -> None:
    """A stale answer and the {} that replaces an error have sources of their own."""
    caplog.set_level("INFO", "vendorsrv.access")
    clock = ManualClock()
    with serve(Stale, Empty, clock=clock) as server:
        server.ask("stale")
        server.ask("stale", hostname="fails")
        server.ask("empty", hostname="fails")
    assert [("stale", 13, "daa5856283265443"), ("empty", 2, "44136fa355b3678a")] == told(caplog)[1:]


def test_a_line_of_all_handlers_has_the_source_of_each(caplog: pytest.LogCaptureFixture) -> None:
    """POST / has each source once, in the order of the handlers, and the digest of the whole answer."""
    caplog.set_level("INFO", "vendorsrv.access")
    with serve(Pinned, Rack, Empty, NotHere) as server:
        assert b'{"pinned":{"rack":"b7"},"rack":{"rack":"b7"},"empty":{"rack":"b7"}}' == server.ask("/").body
    assert [("pin,run", 67, "a410b032e9abdf11")] == told(caplog)


def test_a_line_of_nothing_has_the_digest_that_nova_can_compute(caplog: pytest.LogCaptureFixture) -> None:
    """The answer of a handler that is not for the instance has the size and the digest of {}."""
    caplog.set_level("INFO", "vendorsrv.access")
    with serve(NotHere) as server:
        server.ask()
    assert [("pin", 2, "44136fa355b3678a")] == told(caplog)


def test_a_line_of_an_error_has_a_size_only(caplog: pytest.LogCaptureFixture) -> None:
    """An error comes from nowhere: its line has the size of its body and no digest."""
    caplog.set_level("INFO", "vendorsrv.access")
    with serve(Rack) as server:
        size = len(server.ask(hostname="fails").body)
    assert [(None, size, None)] == told(caplog)
