"""What is known of an instance that is gone, and what is forgotten of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.test_deleted import GONE, error_of
from tests.support.handlers.enrolment import Enrolment
from vendorsrv import Handler, OnError, VendordataRequest
from vendorsrv.testing import serve


def test_handlers_without_deleted_are_forgotten_too() -> None:
    """Where no handler has `deleted`, the pins of an instance that is gone go all the same."""
    with serve(Enrolment) as server:
        server.ask()
        assert {} == server.delete()
        assert GONE == error_of(server.ask())


def test_a_server_without_pins_knows_of_no_end() -> None:
    """A server that keeps nothing has no database, and goes on answering."""

    class Answering(Handler):
        """Returns a number."""

        async def handle(self, request: VendordataRequest) -> int:
            """Return it."""
            return 1

    with serve(Answering) as server:
        assert {} == server.delete()
        assert b"1" == server.ask().body


@pytest.mark.parametrize("listens", [True, False])
def test_handlers_that_keep_nothing_are_410_where_nova_is_listened_to(listens: bool, tmp_path: Path) -> None:
    """A handler that keeps nothing beside one that pins is 410 where events are read, unless the database is down."""

    class Stateless(Handler):
        """Returns a number."""

        async def handle(self, request: VendordataRequest) -> int:
            """Return it."""
            return 1

    sections = {"lifecycle": {"transport_url": "rabbit://guest@127.0.0.1:1/" if listens else None}}
    with serve(Enrolment, Stateless, sections=sections) as server:
        server.delete()
        assert (410 if listens else 200) == server.ask("stateless", hostname="a").status
        server.pins.behaviour = "unavailable"
        assert 200 == server.ask("stateless", hostname="b").status
        assert 503 == server.ask("enrolment", hostname="b").status


def test_one_that_does_not_pin_needs_the_database_too() -> None:
    """A handler that has `deleted` and does not pin is 503 while it is not known whether its instance is gone."""

    class Creating(Handler):
        """Creates something at each request."""

        async def handle(self, request: VendordataRequest) -> int:
            """Return a number."""
            return 1

        async def deleted(self, instance_id: str, prepared: Any) -> None:
            """Remove it."""

    with serve(Creating) as server:
        assert 200 == server.ask().status
        server.pins.behaviour = "unavailable"
        assert 503 == server.ask(hostname="b").status


@pytest.mark.parametrize("behaviour", ["available", "unavailable"])
def test_the_last_answer_of_an_instance_goes(behaviour: str) -> None:
    """The answer that `OnError.STALE` keeps for an instance goes with it, unless the cache is down."""

    class Keeping(Handler):
        """Keeps its last answer."""

        on_error = OnError.STALE

        async def handle(self, request: VendordataRequest) -> int:
            """Return a number."""
            return 1

        async def deleted(self, instance_id: str, prepared: Any) -> None:
            """Remove nothing."""

    class Shared(Keeping):
        """Keeps answers that are for others too."""

        per_caller = True

    with serve(Keeping, Shared) as server:
        for path in ("keeping", "shared"):
            server.ask(path)
        before = len(server.app.cache.cache.answers)  # type: ignore[attr-defined]
        server.cache.behaviour = behaviour
        server.delete()
        assert (1 if behaviour == "available" else 0) == before - len(server.app.cache.cache.answers)  # type: ignore[attr-defined]
