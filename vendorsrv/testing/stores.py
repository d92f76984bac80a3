"""A cache that fails on demand, as stores fail."""

from __future__ import annotations

import asyncio
from typing import Final

from vendorsrv.cache.answers import STORE_TIMEOUT, Cache, CachedAnswer
from vendorsrv.testing.switch import Switch

#: Seconds between two looks at whether a store still hangs.
LOOK: Final = 0.02


class StoreSwitch(Switch):
    """How a store behaves: ``unavailable``, every call fails; ``hanging``; or ``losing``, it forgets what it stores."""

    behaviours = ("available", "unavailable", "hanging", "losing")

    async def hang(self) -> None:
        """Wait until the store no longer hangs."""
        while self.behaviour == "hanging":  # noqa: ASYNC110 - it is turned from another thread
            await asyncio.sleep(LOOK)


class SwitchedCache:
    """A cache behind a switch (:class:`vendorsrv.cache.answers.Cache`); while it fails or hangs it has no answers.

    :param cache: the cache behind the switch.
    """

    timeout = STORE_TIMEOUT

    def __init__(self, cache: Cache, switch: StoreSwitch) -> None:
        self.cache = cache
        self.switch = switch

    def peek(self, key: bytes) -> CachedAnswer | None:
        """Return an answer, however old, if that needs no waiting."""
        return self.cache.peek(key) if self.switch.behaviour in {"available", "losing"} else None

    async def get(self, key: bytes) -> CachedAnswer | None:
        """Return an answer, however old."""
        return await self.cache.get(key) if await self.answers() else None

    async def set(self, key: bytes, body: bytes, max_age: float) -> None:
        """Store an answer, unless it is lost."""
        if await self.answers() and self.switch.behaviour != "losing":
            await self.cache.set(key, body, max_age)

    def close(self) -> None:
        """Forget all answers."""
        self.cache.close()

    async def answers(self) -> bool:
        """Whether the store answers; False after the store's timeout when it hangs."""
        try:
            async with asyncio.timeout(self.timeout):
                await self.switch.hang()
        except TimeoutError:
            return False
        return self.switch.behaviour != "unavailable"
