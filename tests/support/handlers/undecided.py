"""A pinning handler that does not know yet."""

from __future__ import annotations

from vendorsrv import Handler, NotYet, VendordataRequest


class Undecided(Handler):
    """Raise NotYet."""

    pin = True

    async def handle(self, request: VendordataRequest) -> object:
        """Answer for now."""
        raise NotYet({"wait": True})
