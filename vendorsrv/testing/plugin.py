"""The kit's pytest fixtures, which pytest finds by entry point; each imports the kit when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vendorsrv.testing.clock import ManualClock
    from vendorsrv.testing.keystone import FakeKeystone
    from vendorsrv.testing.server import Server
    from vendorsrv.testing.upstream import FakeUpstream


@pytest.fixture
def vendordata() -> Iterator[Callable[..., Server]]:
    """:func:`vendorsrv.testing.serve` as a function that returns a server, which runs until the test is over."""
    from vendorsrv.testing.server import serve

    with ExitStack() as stack:
        yield lambda *handlers, **keywords: stack.enter_context(serve(*handlers, **keywords))


@pytest.fixture
def vendordata_keystone() -> Iterator[FakeKeystone]:
    """The :class:`vendorsrv.testing.FakeKeystone` of the test's servers."""
    from vendorsrv.testing.keystone import FakeKeystone

    with FakeKeystone() as keystone:
        yield keystone


@pytest.fixture
def vendordata_upstream() -> Iterator[FakeUpstream]:
    """A running :class:`vendorsrv.testing.FakeUpstream`."""
    from vendorsrv.testing.upstream import FakeUpstream

    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def vendordata_clock() -> ManualClock:
    """A :class:`vendorsrv.testing.ManualClock`, for ``vendordata(…, clock=vendordata_clock)``."""
    from vendorsrv.testing.clock import ManualClock

    return ManualClock()
