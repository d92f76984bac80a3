"""A second pinned handler, for throughput, since the other one counts its runs; and a slow one."""

from __future__ import annotations

import asyncio

from bench.handlers import Pinned
from vendorsrv import Handler, VendordataRequest


class Bench(Pinned):
    """The same handler under another name."""


class Unhurried(Handler):
    """An answer that takes half a second."""

    async def handle(self, request: VendordataRequest) -> str:
        """Wait for it."""
        await asyncio.sleep(0.5)
        return "finished"
