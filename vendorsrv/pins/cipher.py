"""Pinned answers at rest: encrypted with the operator's keys, or plain when there are none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from vendorsrv.encryption import read_keys
from vendorsrv.errors import PinsUnavailable

#: The first byte of what is stored.
PLAIN: Final = b"0"
ENCRYPTED: Final = b"1"


class PinCipher:
    """Turns answers into the stored bytes, and back.

    An encrypted answer is bound to its instance and handler: nobody who can write to the database can give one
    instance the answer of another. So with keys, a plain answer is refused: anybody could have put it there.

    :param keys: Fernet keys (``cryptography.fernet.Fernet.generate_key()``), newest first; none: nothing is encrypted.
    :param allow_plain: whether plain answers are returned although there are keys.
    :raises ConfigError: one of them is not a key.
    """

    def __init__(self, keys: Sequence[str], *, allow_plain: bool = False) -> None:
        read_keys(keys)
        fernets = [Fernet(key) for key in keys]
        self.fernet = MultiFernet(fernets) if fernets else None
        self.newest = fernets[0] if fernets else None
        self.allow_plain = allow_plain or not fernets

    def encrypt(self, instance_id: str, handler: str, body: bytes) -> bytes:
        """Return the bytes to store: encrypted if there is a key."""
        if self.fernet is None:
            return PLAIN + body
        return ENCRYPTED + self.fernet.encrypt(prefix_of(instance_id, handler) + body)

    def decrypt(self, instance_id: str, handler: str, stored: bytes) -> bytes:
        """Return the answer.

        :raises PinsUnavailable: none of the keys decrypts it, it is the answer of another instance or handler, or it is
            plain and must not be.
        """
        kind, content = stored[:1], stored[1:]
        if kind == PLAIN:
            if not self.allow_plain:
                raise PinsUnavailable("the pinned answer is not encrypted, and [pins] allow_plain is not set")
            return content
        try:
            if kind != ENCRYPTED or self.fernet is None:
                raise InvalidToken
            plain = self.fernet.decrypt(content)
        except InvalidToken:
            raise PinsUnavailable("the pinned answer cannot be decrypted") from None
        prefix = prefix_of(instance_id, handler)
        if not plain.startswith(prefix):
            raise PinsUnavailable("the pinned answer belongs to another instance")
        return plain[len(prefix) :]

    def reencrypt(self, instance_id: str, handler: str, stored: bytes) -> bytes | None:
        """Return the bytes encrypted with the newest key, None when they are already; raise as :meth:`decrypt`."""
        body = self.decrypt(instance_id, handler, stored)
        with suppress(InvalidToken):
            if is_encrypted(stored) and self.newest:
                self.newest.decrypt(stored[1:])
                return None
        return self.encrypt(instance_id, handler, body)


def is_encrypted(stored: bytes) -> bool:
    """Whether a stored answer is encrypted."""
    return stored[:1] == ENCRYPTED


def prefix_of(instance_id: str, handler: str) -> bytes:
    return f"{instance_id} {handler}\0".encode()
