"""Cached answers as the bytes of a shared store, to which others may be able to write."""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: Seconds by which the clock of the host that stored an answer may be ahead of ours.
CLOCK_SKEW: Final = 5.0
#: Change with the layout of an entry: an entry of another version is a miss.
PLAIN: Final = b"vendorsrv2"
ENCRYPTED: Final = b"vendorsrv3"
#: The format, when the answer was made, and its max-age; :meth:`Entries.seal` says what follows.
HEAD: Final = struct.Struct(">10sdd")
NONCE: Final = 12


@dataclass(slots=True)
class CachedAnswer:
    """An answer from a cache.

    :ivar age: seconds since it was made.
    :ivar max_age: seconds for which it was said to be fresh when it was made.
    """

    body: bytes
    age: float
    max_age: float


class Entries:
    """Turns answers into entries, and back.

    With keys, an entry is encrypted and authenticated with AES-256-GCM, its times included. Each place has a key of its
    own (HKDF, RFC 5869): an entry is refused in another place, and no key encrypts so many answers that the random
    nonces could repeat. Without keys there is a checksum, which finds damage and no forgery.

    :param keys: newest first; the first encrypts, and any of them decrypts.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self.keys = keys
        self.format = ENCRYPTED if keys else PLAIN

    def pack(self, place: bytes, body: bytes, now: float, max_age: float) -> bytes:
        """Return the entry of an answer.

        :param place: the key of the answer in the cache.
        :param now: seconds since the epoch.
        """
        head = HEAD.pack(self.format, now, max_age)
        if not self.keys:
            return head + checksum(place, head, body) + body
        nonce = os.urandom(NONCE)
        return head + nonce + cipher(self.keys[0], place).encrypt(nonce, body, head)

    def unpack(self, place: bytes, entry: object, now: float) -> CachedAnswer | None:
        """Return the answer in an entry.

        :returns: None if it is truncated, foreign, of another place, from the future, or not encrypted with our keys.
        """
        if not isinstance(entry, bytes) or not entry.startswith(self.format) or len(entry) < HEAD.size:
            return None
        head, sealed = entry[: HEAD.size], entry[HEAD.size :]
        body = self.decrypt(place, head, sealed) if self.keys else compare(place, head, sealed)
        _, made_at, max_age = HEAD.unpack(head)
        age = now - made_at
        if body is None or not -CLOCK_SKEW < age < math.inf or not 0.0 <= max_age < math.inf:
            return None
        return CachedAnswer(body, max(0.0, age), max_age)

    def decrypt(self, place: bytes, head: bytes, sealed: bytes) -> bytes | None:
        for key in self.keys:
            with suppress(InvalidTag, ValueError):  # ValueError: no whole nonce
                return cipher(key, place).decrypt(sealed[:NONCE], sealed[NONCE:], head)
        return None


def cipher(key: bytes, place: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"vendorsrv cache " + place).derive(key))


def checksum(place: bytes, head: bytes, body: bytes) -> bytes:
    return hashlib.sha256(head + place + body).digest()


def compare(place: bytes, head: bytes, sealed: bytes) -> bytes | None:
    """Return what follows a checksum, if that is right."""
    found, body = sealed[:32], sealed[32:]
    return body if found == checksum(place, head, body) else None
