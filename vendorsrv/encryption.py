"""The operator's encryption keys (``[pins] encryption_keys``), from which pins and cached answers have theirs."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Sequence

from vendorsrv.errors import ConfigError


def read_keys(keys: Sequence[str]) -> list[bytes]:
    """Return the 32 bytes of each Fernet key, newest first.

    :raises ConfigError: one of them is not a key; the text does not quote it.
    """
    try:
        decoded = [urlsafe_b64decode(key) for key in keys]
    except ValueError:
        decoded = [b""]
    if any(len(key) != 32 for key in decoded):
        raise ConfigError("[pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64")
    return decoded
