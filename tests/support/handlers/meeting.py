"""Two handlers, each of which waits for the other one to be asked."""

from __future__ import annotations

import asyncio

from vendorsrv import Handler, VendordataRequest

MEETING: dict[str, asyncio.Event] = {}


def event(name: str) -> asyncio.Event:
    """The event that a handler was asked, of the running loop."""
    return MEETING.setdefault(name, asyncio.Event())


class Left(Handler):
    """Wait for the right one."""

    async def handle(self, request: VendordataRequest) -> object:
        """Come, and wait."""
        event("left").set()
        await event("right").wait()
        return "met"


class Right(Handler):
    """Wait for the left one."""

    async def handle(self, request: VendordataRequest) -> object:
        """Come, and wait."""
        event("right").set()
        await event("left").wait()
        return "met"
