"""A store of pins that fails as databases fail, when the test says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Row
from vendorsrv.testing.stores import StoreSwitch

T = TypeVar("T")


class SwitchedPinStore(PinStore):
    """The table of pins in a real SQLite, behind a switch.

    One that loses gives each pinned answer once more, and then has forgotten it, as after its database was restored.
    """

    def __init__(self, url: URL, timeout: float, switch: StoreSwitch) -> None:
        super().__init__(url, timeout)
        self.switch = switch

    def peek(self, _instance_id: str, _handler: str) -> bytes | None:
        """Give nothing: each answer is read by what looks at the switch."""
        return None

    async def get(self, instance_id: str, handler: str) -> Row | None:
        """Read one row."""
        row = await super().get(instance_id, handler)
        if row and row.answer is not None and self.switch.behaviour == "losing":
            await self.forget([(instance_id, handler)])
        return row

    async def once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do one statement, if the store is there."""
        await self.switch.hang()
        if self.switch.behaviour == "failing":
            raise OSError("the test has taken the store away")
        return await super().once(work)
