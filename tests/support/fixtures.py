"""What the tests of the core share: a fake Keystone, a clock that is moved by hand, and what is built on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import Server, running, write_config
from vendorsrv import Caller, Settings, VendordataError
from vendorsrv.auth.tokens import Authenticator
from vendorsrv.testing.clock import ManualClock

#: What the tests' clocks are.
Clock = ManualClock
Build = Callable[..., Authenticator]


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """A fake Keystone of the test's own."""
    with FakeKeystone() as keystone:
        yield keystone


@pytest.fixture
def clock() -> Clock:
    """The clock of what the test builds."""
    return Clock()


@pytest.fixture
def authenticator_of(tmp_path: Path, fake: FakeKeystone, clock: Clock) -> Build:
    """Build an authenticator with options of ``[keystone_authtoken]`` and of ``[vendorsrv]``."""

    def build(authtoken: dict[str, object] | None = None, **options: Any) -> Authenticator:
        settings = Settings.from_file(write_config(tmp_path, fake, authtoken=authtoken, **options))
        return Authenticator(settings, clock)

    return build


class House(NamedTuple):
    """A server with every good handler, and its Keystone; for all tests, so nobody changes anything in it.

    :ivar nova: a token that may ask.
    :ivar tenant: a valid token that may not.
    """

    server: Server
    keystone: FakeKeystone
    nova: str
    tenant: str


GOOD: Final = ("Echo", "Plain", "Raising", "Away", "Odd", "Nothing", "Slow")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The server of this run."""
    handlers = ", ".join(f"tests.support.handlers.good:{name}" for name in GOOD)
    with FakeKeystone() as keystone:
        config = write_config(tmp_path_factory.mktemp("house"), keystone, handlers=handlers, max_body_bytes=4096)
        with running(config) as server:
            server.app.watchdog.stop()  # else it finds, in the log of another test, that the machine is busy
            yield House(server, keystone, keystone.issue("service"), keystone.issue("member", project="demo"))


async def outcome(asked: Awaitable[Caller]) -> str:
    """Return how a validation ended."""
    try:
        return (await asked).user_id
    except VendordataError as error:
        return f"{error.status} {error.message}"
