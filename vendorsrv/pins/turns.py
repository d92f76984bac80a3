"""Whose turn it is to do what one worker of the whole cloud does: a row beside the pins for each such thing."""

from __future__ import annotations

import hashlib

from vendorsrv.pins.pin import CLOCK_SKEW, Pins


class Turn:
    """The turns at one thing. The row's time is that of the last turn; it has no answer and belongs to no instance.

    :param what: its name, the same in all workers.
    :param seconds: between two turns.
    """

    def __init__(self, pins: Pins, what: str, seconds: float) -> None:
        self.pins = pins
        self.key = ("", hashlib.sha256(what.encode()).hexdigest()[:32])
        self.seconds = seconds

    async def take(self, owner: str) -> float:
        """Take the turn; return 0, or the seconds until the next one if another worker has had this one.

        :param owner: a new id.
        :raises PinsUnavailable: the database does not answer.
        """
        row = await self.pins.row_of(*self.key)
        if row and -CLOCK_SKEW < row.claim_age < self.seconds:
            return self.seconds - row.claim_age
        if await self.pins.store.claim(*self.key, owner, row.owner if row else None):
            return 0.0
        row = await self.pins.store.get(*self.key)
        return 0.0 if row and row.owner == owner else self.seconds

    async def give_back(self, owner: str) -> None:
        """Let any worker have the turn that was taken.

        :raises PinsUnavailable: the database does not answer.
        """
        await self.pins.store.release(*self.key, owner)
