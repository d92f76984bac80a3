"""How long an answer may be used again, as its source says it, and how that is kept beside the answer."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

#: Changes with the layout, so that what another version kept is not misread.
MAGIC: Final = b"life1"
NUMBERS: Final = struct.Struct(">dddd?H")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What the source of an answer says of using it again; by default nothing. Durations are seconds.

    :ivar fresh_for: counted from when the answer was made; None when the source is silent.
    :ivar age: how old the answer was when it came.
    :ivar stale_if_error: how long after that it stands in for one that cannot be had (RFC 5861, 4).
    :ivar stale_while_revalidate: how long after that it is given while a new one is asked for (RFC 5861, 3).
    :ivar must_revalidate: it is never given stale, whatever fails (RFC 9111, 5.2.2.2).
    :ivar storable: whether it may be kept at all; not kept beside the answer.
    :ivar validator: with what the source is asked whether the answer has changed; only the handler reads it.
    """

    fresh_for: float | None = None
    age: float = 0.0
    stale_if_error: float = 0.0
    stale_while_revalidate: float = 0.0
    must_revalidate: bool = False
    storable: bool = True
    validator: str = ""

    @property
    def useful(self) -> bool:
        """Whether the source lets an answer that is kept be used for anything."""
        return bool(self.validator) or max(self.fresh_for or 0.0, self.stale_if_error) > 0


#: Of answers whose source says nothing.
SILENT: Final = Lifetime()


@dataclass(frozen=True, slots=True)
class Reusable:
    """What a handler returns instead of a value when it knows how long its answer may be used.

    :ivar body: JSON that the handler has checked; None for "as you know it", when the request had a ``validator``.
    :ivar lifetime: None is what it was, from now on: only with "as you know it".
    """

    body: bytes | None
    lifetime: Lifetime | None = SILENT


@dataclass(slots=True)
class Found:
    """An answer that was kept.

    :ivar kept_for: seconds since it was put there.
    :ivar matches: whether it answers what is asked now.
    """

    body: bytes
    kept_for: float
    lifetime: Lifetime
    matches: bool = True

    @property
    def age(self) -> float:
        """Seconds since its source made it."""
        return self.lifetime.age + self.kept_for


def pack(lifetime: Lifetime) -> bytes:
    """Give the bytes that stand before the answer in a cache."""
    validator = lifetime.validator.encode()
    numbers = NUMBERS.pack(
        math.nan if lifetime.fresh_for is None else lifetime.fresh_for,
        lifetime.age,
        lifetime.stale_if_error,
        lifetime.stale_while_revalidate,
        lifetime.must_revalidate,
        len(validator),
    )
    return MAGIC + numbers + validator


def unpack(kept: bytes) -> tuple[Lifetime, bytes] | None:
    """Take apart what :func:`pack` gave and the answer behind it; None for anything else."""
    start = len(MAGIC) + NUMBERS.size
    if not kept.startswith(MAGIC) or len(kept) < start:
        return None
    fresh_for, age, if_error, while_revalidate, must_revalidate, length = NUMBERS.unpack_from(kept, len(MAGIC))
    lifetime = Lifetime(
        fresh_for=None if math.isnan(fresh_for) else fresh_for,
        age=age,
        stale_if_error=if_error,
        stale_while_revalidate=while_revalidate,
        must_revalidate=must_revalidate,
        validator=kept[start : start + length].decode(),
    )
    return lifetime, kept[start + length :]
