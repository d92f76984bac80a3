"""A store whose reads lag behind its writes, as those of a replica do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.pin_stores import age, body_of, execute, make_table, with_store
from vendorsrv.database.engine import Database
from vendorsrv.database.url import async_url
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.pin import Pins
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import Row

T = TypeVar("T")
KEY = ("7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d", "mail")


class LaggingStore(PinStore):
    """Reads from a copy of the database, which is as old as the test wants.

    :ivar claims: how many claims were tried.
    """

    def __init__(self, database: Database, copy: Database) -> None:
        super().__init__(database)
        self.copy = PinStore(copy)
        self.lags = True
        self.claims = 0

    async def get(self, instance_id: str, handler: str) -> Row | None:
        """Return the row of the copy."""
        return await (self.copy.get if self.lags else super().get)(instance_id, handler)

    async def claim(
        self, instance_id: str, handler: str, owner: str, expired: str | None, *, project_id: str | None = None
    ) -> bool:
        """Count a claim."""
        self.claims += 1
        return await super().claim(instance_id, handler, owner, expired)


def lagging(
    folder: Path, prepare: Callable[[PinStore], Awaitable[object]], work: Callable[[LaggingStore], Awaitable[T]]
) -> T:
    """Copy a prepared store, and do some work with it."""
    url, copy = (f"sqlite:///{folder}/{name}.db" for name in ("pins", "copy"))
    make_table(url)

    async def copied(store: PinStore) -> None:
        await prepare(store)
        await execute(store.database, f"VACUUM INTO '{folder}/copy.db'")

    with_store(url, copied)

    async def run() -> T:
        store = LaggingStore(Database(async_url(url), 10), Database(async_url(copy), 10))
        try:
            return await work(store)
        finally:
            await store.copy.close()
            await store.close()

    return asyncio.run(run())


async def nothing(_: PinStore) -> None:
    """Prepare an empty store."""


async def an_expired_claim(store: PinStore) -> None:
    """Prepare the claim of a worker that has died."""
    await store.claim(*KEY, "dead", None)
    await age(store, *KEY, claimed_at=1.0)


async def create() -> bytes:
    """Return the answer of a run."""
    return b"made"


def test_claims_that_are_not_seen_are_tried_in_growing_pauses_until_the_deadline(tmp_path: Path) -> None:
    """With another's answer that the reads do not show, a caller tries at most 12 times a second, and then no more."""

    async def work(store: LaggingStore) -> tuple[str, int, int]:
        await store.add(*KEY, b"theirs", 1.0)
        with pytest.raises(PinsUnavailable) as raised:
            await body_of(Pins(store, PinCipher([]), 30.0), KEY, create, 1.0)
        tried = store.claims
        await asyncio.sleep(0.5)
        return raised.value.message, tried, store.claims - tried

    message, tried, later = lagging(tmp_path, nothing, work)
    assert ("the pin store does not show what was written to it", 0) == (message, later)
    assert 2 <= tried <= 12


def test_a_claim_that_is_seen_late_is_run(tmp_path: Path) -> None:
    """A claim in place of an expired one is run once the reads show it, not when its lease of 30 s ends."""

    async def work(store: LaggingStore) -> tuple[bytes, bytes]:
        pins = Pins(store, PinCipher([]), 30.0)
        asked = asyncio.create_task(body_of(pins, KEY, create, 60.0))
        while store.claims < 3:  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(0.01)
        store.lags, seen = False, time.monotonic()
        answer = await asked
        assert time.monotonic() < seen + 25
        return answer, await body_of(pins, KEY, create, 60.0)

    assert (b"made", b"made") == lagging(tmp_path, an_expired_claim, work)
