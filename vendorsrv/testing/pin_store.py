"""A pin store that fails on demand, as databases fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from vendorsrv.database.engine import Database
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Row
from vendorsrv.testing.switches import StoreSwitch

T = TypeVar("T")


class SwitchedDatabase(Database):
    """A real SQLite database behind a switch."""

    def __init__(self, url: URL, timeout: float, switch: StoreSwitch) -> None:
        super().__init__(url, timeout)
        self.switch = switch

    async def attempt(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do the work, or hang or fail as the switch says."""
        await self.switch.hang()
        if self.switch.behaviour == "unavailable":
            raise OSError("the test has made the store unavailable")
        return await super().attempt(work)


class SwitchedPinStore(PinStore):
    """The table of pins behind a switch.

    With ``losing``, it returns each pinned answer once more and then forgets it, as after a restore of the database.
    """

    def __init__(self, database: SwitchedDatabase) -> None:
        super().__init__(database)
        self.switch = database.switch

    def peek(self, _instance_id: str, _handler: str) -> bytes | None:
        """Return None: each answer is read by :meth:`get`, which looks at the switch."""
        return None

    async def get(self, instance_id: str, handler: str) -> Row | None:
        """Return a row."""
        row = await super().get(instance_id, handler)
        if row and row.answer is not None and self.switch.behaviour == "losing":
            await self.forget([(instance_id, handler)])
        return row
