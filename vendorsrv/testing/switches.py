"""Switches with which a test lets a fake or a store fail, and work again, at any time; and a cache behind one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from vendorsrv.cache.answers import STORE_TIMEOUT, Cache
from vendorsrv.cache.entries import CachedAnswer


class Switch:
    """Something with several behaviours, of which it has the first at first."""

    behaviours: ClassVar[tuple[str, ...]]
    current = "available"

    @property
    def behaviour(self) -> str:
        """The behaviour now; may be set to any of :attr:`behaviours`.

        :raises ValueError: it is set to something else, which would not fail at all.
        """
        return self.current

    @behaviour.setter
    def behaviour(self, wanted: str) -> None:
        if wanted not in self.behaviours:
            raise ValueError(f"{wanted!r} is not one of {', '.join(self.behaviours)}")
        self.current = wanted

    def release(self) -> None:
        """Work again: what hangs goes on."""
        self.current = "available"


class StoreSwitch(Switch):
    """How a store behaves: ``unavailable``, every call fails; ``hanging``; or ``losing``, it forgets what it stores."""

    behaviours = ("available", "unavailable", "hanging", "losing")

    async def hang(self) -> None:
        """Wait until the store no longer hangs."""
        while self.behaviour == "hanging":  # noqa: ASYNC110 - it is turned from another thread
            await asyncio.sleep(0.02)


@dataclass
class SwitchedCache:
    """A cache behind a switch (:class:`vendorsrv.cache.answers.Cache`); while it fails or hangs it has no answers."""

    cache: Cache
    switch: StoreSwitch
    timeout: float = STORE_TIMEOUT

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

    async def forget(self, key: bytes) -> None:
        """Forget an answer, if there is one."""
        if await self.answers():
            await self.cache.forget(key)

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
