"""The pins as an operator handles them: listed, forgotten, moved, encrypted anew."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from vendorsrv.database.schema import is_missing, sqlite_path, upgrade, verify
from vendorsrv.database.url import async_url
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.handler import CLOUD_INIT, NAME
from vendorsrv.pins.cipher import PinCipher, is_sealed
from vendorsrv.pins.store import PinStore, reason_of
from vendorsrv.pins.table import Row
from vendorsrv.request import UUID
from vendorsrv.settings import Settings
from vendorsrv.strictjson import StrictJSONError, parse

#: Seconds that one statement may take: nobody's boot waits for it.
TIMEOUT: Final = 10.0
#: Rows that are read, or named in a statement, at once.
PAGE: Final = 100

MEMBERS: Final = {"instance_id", "handler", "pinned_at", "answer"}


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned answer, without the answer.

    :ivar pinned_at: in ISO 8601, UTC.
    :ivar stored: ``encrypted`` or ``plain``.
    """

    instance_id: str
    handler: str
    pinned_at: str
    stored: str

    @classmethod
    def of(cls, row: Row) -> Pin:
        """Describe a row."""
        return cls(row.instance_id, row.handler, shown_time(row), "encrypted" if is_sealed(stored(row)) else "plain")


@dataclass(slots=True)
class Rotation:
    """How a rotation ended.

    :ivar renewed: answers that are encrypted with the newest key now, and were not.
    :ivar current: answers that were already.
    :ivar unreadable: the instance and the handler of each one that none of the keys decrypts; it stays as it is.
    """

    renewed: int = 0
    current: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)


class PinAdmin:
    """The pins of an existing store of our schema; safe while servers use them."""

    def __init__(self, store: PinStore, cipher: PinCipher) -> None:
        self.store = store
        self.cipher = cipher

    async def page(self, limit: int, after: str, handler: str | None) -> tuple[list[Row], bool]:
        """List pins in the order of their instances.

        :param limit: how many, and a few more when it would part an instance's.
        :param after: the last instance of the page before; empty for the first page.
        :returns: the rows, and whether there are more.
        """
        rows = await self.store.page(limit, (after, ""), handler=handler)
        if len(rows) < limit:
            return rows, False
        last = rows[-1]
        rows += await self.store.page(PAGE, (last.instance_id, last.handler), [last.instance_id], handler)
        return rows, bool(await self.store.page(1, (last.instance_id, ""), handler=handler))

    async def find(self, instances: Sequence[str], handler: str | None) -> list[Row]:
        """List the pins of some instances."""
        found: list[Row] = []
        for start in range(0, len(instances), PAGE):
            found.extend([row async for row in self.each(instances[start : start + PAGE], handler)])
        return found

    async def each(self, instances: Sequence[str] | None = None, handler: str | None = None) -> AsyncIterator[Row]:
        """Go through all pins; what is pinned or forgotten meanwhile may be missing or not."""
        after = ("", "")
        while rows := await self.store.page(PAGE, after, instances, handler):
            for row in rows:
                yield row
            after = (rows[-1].instance_id, rows[-1].handler)

    async def forget(self, rows: Sequence[Row]) -> None:
        """Forget pins, at once for every worker and host."""
        keys = [(row.instance_id, row.handler) for row in rows]
        for start in range(0, len(keys), PAGE):
            await self.store.forget(keys[start : start + PAGE])

    def answer(self, row: Row) -> str:
        """Give the answer itself.

        :raises ConfigError: none of the keys decrypts it.
        """
        try:
            return self.cipher.unseal(row.instance_id, row.handler, stored(row)).decode()
        except PinsUnavailable as error:
            raise ConfigError(f"instance {row.instance_id}, handler {row.handler}: {error.message}") from None

    async def export(self) -> AsyncIterator[bytes]:
        """Give all pins, decrypted, each as a line of JSON.

        The answer is a string, since its bytes matter, and another program would write the same JSON differently.

        :raises ConfigError: one of them cannot be decrypted.
        """
        async for row in self.each():
            members = {
                "instance_id": row.instance_id,
                "handler": row.handler,
                "pinned_at": shown_time(row),
                "answer": self.answer(row),
            }
            yield json.dumps(members).encode("ascii") + b"\n"

    async def load(self, lines: Iterable[bytes]) -> tuple[int, int]:
        """Pin what :meth:`export` gave, except where something is pinned already.

        :returns: how many are new, and how many were there.
        :raises ConfigError: a line is no pin; those before it are pinned.
        """
        new = there = 0
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                instance_id, handler, pinned_at, answer = read_line(line)
            except ValueError as error:
                raise ConfigError(f"line {number} {error}; of the lines before it {new} were new") from None
            if await self.add(instance_id, handler, pinned_at, answer):
                new += 1
            else:
                there += 1
        return new, there

    async def add(self, instance_id: str, handler: str, pinned_at: float, answer: bytes) -> bool:
        if await self.store.get(instance_id, handler):
            return False
        sealed = self.cipher.seal(instance_id, handler, answer)
        await self.store.add(instance_id, handler, sealed, pinned_at)
        row = await self.store.get(instance_id, handler)
        return row is not None and row.answer == sealed

    async def rotate(self) -> Rotation:
        """Encrypt every answer with the newest key that is not yet.

        :raises ConfigError: there is no key.
        """
        if self.cipher.newest is None:
            raise ConfigError("[pins] encryption_keys: there is no key to encrypt with")
        rotation = Rotation()
        async for row in self.each():
            try:
                renewed = self.cipher.renew(row.instance_id, row.handler, stored(row))
            except PinsUnavailable:
                rotation.unreadable.append((row.instance_id, row.handler))
                continue
            if renewed is None:
                rotation.current += 1
            else:
                await self.store.replace(row, renewed)
                rotation.renewed += 1
        return rotation


@asynccontextmanager
async def open_pins(settings: Settings) -> AsyncIterator[PinAdmin]:
    """Open the store that a configuration names, if it is there and has our schema; close it in the end.

    :raises ConfigError: it is not, or it does not answer, now or later.
    """
    async with open_store(settings) as store:
        path = sqlite_path(store.url)
        if path and is_missing(path):
            raise ConfigError(f"there are no pins yet: {path} does not exist")
        await verify(store)
        yield PinAdmin(store, PinCipher(settings.encryption_keys))


async def upgrade_pins(settings: Settings) -> None:
    """Create the store's table, or bring it to our schema.

    :raises ConfigError: the database refuses, does not answer, or is of a newer version.
    """
    async with open_store(settings) as store:
        await upgrade(store)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PinStore]:
    store = PinStore(async_url(settings.database), TIMEOUT)
    try:
        if store.in_memory:
            raise ConfigError("[database] connection: these pins are in the server's memory, and end with it")
        yield store
    except PinsUnavailable as error:
        reason = f": {reason_of(error.__cause__)}" if error.__cause__ else ""
        raise ConfigError(f"{error.message}{reason}") from None
    finally:
        await store.close()


def read_line(line: bytes) -> tuple[str, str, float, bytes]:
    """Read a line of an export.

    :raises ValueError: it is none; does not quote it.
    """
    members: Any = parse(line)
    if not isinstance(members, dict) or members.keys() != MEMBERS or {*map(type, members.values())} != {str}:
        raise ValueError(f"is no object of the strings {', '.join(sorted(MEMBERS))}")
    if not UUID.fullmatch(members["instance_id"]) or not NAME.fullmatch(members["handler"].removesuffix(CLOUD_INIT)):
        raise ValueError("has no UUID as its instance_id, or no handler's name")
    answer = members["answer"].encode()
    try:
        parse(answer)
    except StrictJSONError as error:
        raise ValueError(f"has an answer that {error}") from None
    return members["instance_id"], members["handler"], read_time(members["pinned_at"]), answer


def read_time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("has no time in ISO 8601 as its pinned_at") from None


def stored(row: Row) -> bytes:
    assert row.answer is not None  # the store lists no claims
    return row.answer


def shown_time(row: Row) -> str:
    assert row.pinned_at is not None  # nor here
    return datetime.fromtimestamp(row.pinned_at, UTC).isoformat().replace("+00:00", "Z")
