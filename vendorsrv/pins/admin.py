"""The pins as operators handle them: list, forget, export, import, rotate keys."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from vendorsrv.database.engine import Database, DatabaseUnavailable
from vendorsrv.database.schema import upgrade, verify
from vendorsrv.database.url import async_url
from vendorsrv.declarations import CLOUD_INIT_SUFFIX, NAME, PREPARE_SUFFIX
from vendorsrv.errors import ConfigError, PinsUnavailable
from vendorsrv.pins.cipher import PinCipher, is_encrypted
from vendorsrv.pins.store import PinStore, translate_errors
from vendorsrv.pins.table import Row, storable
from vendorsrv.request import UUID
from vendorsrv.settings import Settings
from vendorsrv.strictjson import StrictJSONError, parse

#: Seconds that one statement may take. No boot waits for these.
TIMEOUT: Final = 10.0
#: Rows that one statement reads or names.
PAGE: Final = 100
#: After how many answers a rotation says how far it is.
PROGRESS: Final = 1000

#: Of a line of an export: those that it has, and those that it may have.
MEMBERS: Final = {"instance_id", "handler", "pinned_at", "answer"}
OPTIONAL: Final = {"project_id", "expires_at"}


@dataclass(slots=True)
class Rotation:
    """The outcome of a rotation.

    :ivar renewed: how many answers it encrypted with the newest key; ``current`` were so before.
    :ivar unreadable: how many answers of a handler cannot be read, by the handler and the reason; they are unchanged.
    :ivar first: the first instance of each of these.
    """

    renewed: int = 0
    current: int = 0
    unreadable: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        """How many answers it has come to."""
        return self.renewed + self.current + self.unreadable.total()


class PinAdmin:
    """Works on the pins of an existing store, safely while servers use them."""

    def __init__(self, store: PinStore, cipher: PinCipher) -> None:
        self.store = store
        self.cipher = cipher

    async def page(self, limit: int, after: str, handler: str | None) -> tuple[list[Row], bool]:
        """List pins in the order of their instances.

        :param limit: how many; a few more, so that all pins of an instance are on one page.
        :param after: the last instance of the previous page; empty for the first page.
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
        starts = range(0, len(instances), PAGE)
        return [row for start in starts async for row in self.each(instances[start : start + PAGE], handler)]

    async def each(self, instances: Sequence[str] | None = None, handler: str | None = None) -> AsyncIterator[Row]:
        """Yield all pins; those pinned or forgotten meanwhile may be among them or not."""
        after = ("", "")
        while rows := await self.store.page(PAGE, after, instances, handler):
            for row in rows:
                yield row
            after = (rows[-1].instance_id, rows[-1].handler)

    async def forget(self, rows: Sequence[Row]) -> None:
        """Delete pins, with immediate effect in every worker and host."""
        keys = [(row.instance_id, row.handler) for row in rows]
        for start in range(0, len(keys), PAGE):
            await self.store.forget(keys[start : start + PAGE])

    def answer(self, row: Row) -> str:
        """Return the answer in a row; raise ConfigError if none of the keys decrypts it."""
        try:
            return self.cipher.decrypt(row.instance_id, row.handler, stored(row)).decode()
        except PinsUnavailable as error:
            raise ConfigError(f"instance {row.instance_id}, handler {row.handler}: {error.message}") from None

    async def export(self) -> AsyncIterator[bytes]:
        """Yield all pins, decrypted, each as a line of JSON.

        The answer is a string, because its bytes matter: another program would write the same JSON differently.

        :raises ConfigError: one of them cannot be decrypted.
        """
        async for row in self.each():
            yield json.dumps({**key_and_times(row), "answer": self.answer(row)}).encode("ascii") + b"\n"

    async def load(self, lines: Iterable[bytes]) -> tuple[int, int]:
        """Pin the lines of :meth:`export`, except where something is pinned already.

        :returns: how many were imported, and how many existed.
        :raises ConfigError: a line is not a pin; those before it are imported.
        """
        imported = existing = 0
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = read_line(line)
            except ValueError as error:
                raise ConfigError(f"line {number} {error}; {imported} pins were imported before it") from None
            if await self.add(row):
                imported += 1
            else:
                existing += 1
        return imported, existing

    async def add(self, row: Row) -> bool:
        if await self.store.get(row.instance_id, row.handler):
            return False
        encrypted = self.cipher.encrypt(row.instance_id, row.handler, stored(row))
        assert row.pinned_at is not None  # lines hold no claims
        key = (row.instance_id, row.handler)
        await self.store.add(*key, encrypted, row.pinned_at, expires_at=row.expires_at, project_id=row.project_id)
        found = await self.store.get(row.instance_id, row.handler)
        return found is not None and found.answer == encrypted

    async def rotate(self, progress: Callable[[int], object] = int) -> Rotation:
        """Encrypt every answer with the newest key; raise ConfigError if there is none.

        :param progress: gets the number of answers so far, after each :data:`PROGRESS` of them.
        """
        if self.cipher.newest is None:
            raise ConfigError("[pins] encryption_keys: required; the answers are encrypted with the first key")
        rotation = Rotation()
        async for row in self.each():
            await self.renew(row, rotation)
            if rotation.seen % PROGRESS == 0:
                progress(rotation.seen)
        return rotation

    async def renew(self, row: Row, rotation: Rotation) -> None:
        try:
            renewed = self.cipher.reencrypt(row.instance_id, row.handler, stored(row))
        except PinsUnavailable as error:
            rotation.unreadable[row.handler, error.message] += 1
            rotation.first.setdefault((row.handler, error.message), row.instance_id)
            return
        if renewed is None:
            rotation.current += 1
        else:
            await self.store.replace(row, renewed)
            rotation.renewed += 1


async def answers_of(settings: Settings, instance_id: str) -> dict[str, str]:
    """Return the pinned answers of an instance by handler; none where there is no store yet.

    :raises ConfigError: the store cannot be read, or an answer not be decrypted.
    """
    async with open_store(settings) as store:
        if store.database.is_missing:
            return {}
        await translate_errors(verify(store.database))
        admin = admin_of(settings, store)
        return {row.handler: admin.answer(row) for row in await admin.find([instance_id], None)}


def admin_of(settings: Settings, store: PinStore) -> PinAdmin:
    return PinAdmin(store, PinCipher(settings.encryption_keys, allow_plain=settings.allow_plain))


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[PinAdmin]:
    """Open the existing store that a configuration names, and close it at the end.

    :raises ConfigError: it does not exist, its schema is of another version, or it does not answer, now or later.
    """
    async with open_store(settings) as store:
        if store.database.is_missing:
            raise ConfigError(f"there are no pins yet: {store.database.file} does not exist")
        await translate_errors(verify(store.database))
        yield admin_of(settings, store)


async def upgrade_pins(settings: Settings) -> None:
    """Create the tables of the database, or migrate them to this version.

    :raises ConfigError: the database refuses, does not answer, or is of a newer version.
    """
    async with open_store(settings) as store:
        await upgrade(store.database)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[PinStore]:
    store = PinStore(Database(async_url(settings.database), TIMEOUT))
    try:
        if store.database.in_memory:
            raise ConfigError("[database] connection: sqlite:// is the server's memory; no other process reads it")
        yield store
    except PinsUnavailable as error:
        cause = error.__cause__
        reason = f": {cause.reason}" if isinstance(cause, DatabaseUnavailable) else ""
        raise ConfigError(f"{error.message}{reason}") from None
    finally:
        await store.close()


def read_line(line: bytes) -> Row:
    """Return the pin in a line of an export; its answer is not encrypted.

    :raises ValueError: says what is wrong with the line, and does not quote it.
    """
    members: Any = parse(line)
    if not isinstance(members, dict) or members.keys() - OPTIONAL != MEMBERS or {*map(type, members.values())} != {str}:
        raise ValueError(f"is not an object with the strings {', '.join(sorted(MEMBERS))}")
    name = members["handler"].removesuffix(CLOUD_INIT_SUFFIX).removesuffix(PREPARE_SUFFIX)
    if not UUID.fullmatch(members["instance_id"]) or not NAME.fullmatch(name):
        raise ValueError("has an instance_id that is not a UUID, or a handler that is not a name")
    answer = members["answer"].encode()
    try:
        parse(answer)
    except StrictJSONError as error:
        raise ValueError(f"has an answer that {error}") from None
    return Row(
        members["instance_id"],
        members["handler"],
        answer,
        None,
        0.0,
        read_time(members, "pinned_at"),
        read_time(members, "expires_at") if "expires_at" in members else None,
        project_id=storable(members.get("project_id")),
    )


def read_time(members: Mapping[str, str], name: str) -> float:
    try:
        return datetime.fromisoformat(members[name]).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"has a value of {name} that is not a time in ISO 8601") from None


def stored(row: Row) -> bytes:
    assert row.answer is not None  # pages hold no claims
    return row.answer


def describe(row: Row) -> dict[str, str]:
    """Return what operators see of a pin, without its answer; ``stored`` is ``encrypted`` or ``plain``."""
    return {**key_and_times(row), "stored": "encrypted" if is_encrypted(stored(row)) else "plain"}


def key_and_times(row: Row) -> dict[str, str]:
    """Return the key and the times of a pin, and its project if that is known."""
    assert row.pinned_at is not None  # pages hold no claims
    return {
        "instance_id": row.instance_id,
        "handler": row.handler,
        "pinned_at": shown_time(row.pinned_at),
        **({"expires_at": shown_time(row.expires_at)} if row.expires_at else {}),
        **({"project_id": row.project_id} if row.project_id else {}),
    }


def shown_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
