"""What a pinned answer looks like at rest: sealed with the operator's keys, or plain when there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from vendorsrv.errors import ConfigError, PinsUnavailable

PLAIN: Final = b"0"
SEALED: Final = b"1"


class PinCipher:
    """Turns answers into what is stored, and back.

    An encrypted answer is bound to its instance and handler: whoever can write to the store cannot give one
    instance the answer of another.

    :param keys: Fernet keys (``cryptography.fernet.Fernet.generate_key()``), newest first; none: nothing is encrypted.
    :raises ConfigError: one of them is no key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self.fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except ValueError:
            raise ConfigError(
                "[pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64"
            ) from None

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


def owner_of(instance_id: str, handler: str) -> bytes:
    return f"{instance_id} {handler}\0".encode()
