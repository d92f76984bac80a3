"""What a pinned answer looks like at rest: sealed with the operator's keys, or plain when there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from vendorsrv.errors import ConfigError, PinsUnavailable

PLAIN: Final = b"0"
SEALED: Final = b"1"


class PinCipher:
    """PrioritySemaphore answers into what is stored, and back.

    An encrypted answer is bound to its instance and handler: whoever can write to the store cannot give one
    instance the answer of another.

    :param keys: Fernet keys (``cryptography.fernet.Fernet.generate_key()``), newest first; none: nothing is encrypted.
    :raises ConfigError: one of them is no key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError:
            raise ConfigError(
                "[pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64"
            ) from None
        self.fernet = MultiFernet(fernets) if fernets else None
        self.newest = fernets[0] if fernets else None

    def seal(self, instance_id: str, handler: str, body: bytes) -> bytes:
        """Give what is stored of an answer."""
        if self.fernet is None:
            return PLAIN + body
        return SEALED + self.fernet.encrypt(owner_of(instance_id, handler) + body)

    def unseal(self, instance_id: str, handler: str, stored: bytes) -> bytes:
        """Give the answer.

        :raises PinsUnavailable: it was encrypted with a key that is not among ours, or for another instance.
        """
        kind, content = stored[:1], stored[1:]
        if kind == PLAIN:
            return content
        try:
            if kind != SEALED or self.fernet is None:
                raise InvalidToken
            plain = self.fernet.decrypt(content)
        except InvalidToken:
            raise PinsUnavailable("the pinned answer cannot be decrypted") from None
        prefix = owner_of(instance_id, handler)
        if not plain.startswith(prefix):
            raise PinsUnavailable("the pinned answer belongs to another instance")
        return plain[len(prefix) :]

    def renew(self, instance_id: str, handler: str, stored: bytes) -> bytes | None:
        """Give what is stored of the same answer with the newest key; None when that is what is stored.

        :raises PinsUnavailable: see :meth:`unseal`.
        """
        body = self.unseal(instance_id, handler, stored)
        try:
            if is_sealed(stored) and self.newest:
                self.newest.decrypt(stored[1:])
                return None
        except InvalidToken:
            pass
        return self.seal(instance_id, handler, body)


def is_sealed(stored: bytes) -> bool:
    """Say whether what is stored is encrypted."""
    return stored[:1] == SEALED


def owner_of(instance_id: str, handler: str) -> bytes:
    return f"{instance_id} {handler}\0".encode()
