"""Handlers for tests/peers/test_failure_modes.py: each fails in one way, and there is one for each ``on_error``.

``RaisesFail`` is :class:`Raises` with ``OnError.FAIL``, and so on;
enabled as ``tests.support.peers.failing:RaisesFail``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from vendorsrv import BadRequest, Handler, OnError, UpstreamError, VendordataRequest

GOOD: Final = {"answer": "good"}
#: Hostnames for which a handler behaves differently.
NEVER_GOOD: Final = "never-good"
HOLDING: Final = "holding"


class Failing(Handler):
    """Answers an instance well when it is first asked for it, and fails ever after."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.known: set[str] = set()

    async def handle(self, request: VendordataRequest) -> Any:
        """Answer or fail."""
        if request.instance_id in self.known or request.hostname == NEVER_GOOD:
            return await self.fail()
        self.known.add(request.instance_id)
        return GOOD

    async def fail(self) -> Any:
        """Fail."""
        raise NotImplementedError


class Raises(Failing):
    """Raises what nobody expects."""

    async def fail(self) -> Any:
        """Raise."""
        raise RuntimeError("nobody expects this")


class CircuitOpen(Raises):
    """The same, to be asked until it rests."""


class Upstream(Failing):
    """Says that what it asks gave no usable answer."""

    async def fail(self) -> Any:
        """Raise."""
        raise UpstreamError("the inventory gave no usable answer")


class Slow(Failing):
    """Overruns its time."""

    timeout = 0.3

    async def fail(self) -> Any:
        """Wait for what never happens."""
        await asyncio.Event().wait()


class Refuses(Failing):
    """Finds the request wrong."""

    async def fail(self) -> Any:
        """Raise."""
        raise BadRequest("the metadata names no owner")


class Busy(Failing):
    """Takes one request at a time, and lets a holding one go when it is told so."""

    concurrency = 1
    queue = 0
    timeout = 60.0
    routes: ClassVar[Mapping[str, str]] = {"holds.json": "holds", "release.json": "release"}

    async def open(self) -> None:
        """Prepare what is waited for."""
        self.held, self.released = asyncio.Event(), asyncio.Event()

    async def handle(self, request: VendordataRequest) -> Any:
        """Answer well, sooner or later."""
        if request.hostname == HOLDING:
            self.held.set()
            await self.released.wait()
        return GOOD

    async def holds(self) -> bool:
        """Whether a request is being held."""
        return self.held.is_set()

    async def release(self) -> bool:
        """Let it go."""
        self.released.set()
        return True


class Pinning(Handler):
    """Pins its answer; the server's store is away."""

    pin = True

    async def handle(self, request: VendordataRequest) -> Any:
        """Answer well."""
        return GOOD


WAYS: Final = (Raises, Upstream, Busy, CircuitOpen, Pinning, Slow, Refuses)


def variants() -> dict[str, type[Handler]]:
    """Make a class for each way to fail and each ``on_error`` that it may have, by their names."""
    classes = {}
    for way in WAYS:
        for mode in OnError:
            if not (way is Pinning and mode is OnError.STALE):  # they exclude each other
                name = f"{way.__name__}{mode.value.title()}"
                classes[name] = type(name, (way,), {"on_error": mode, "__module__": __name__})
    return classes


VARIANTS: Final = variants()
globals().update(VARIANTS)
