"""Pinned answers at rest: encrypted or plain, and bound to their instance and handler."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from vendorsrv import ConfigError
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher, is_encrypted

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
ANSWER = b'{"password":"planted"}'


def test_without_keys_an_answer_is_stored_plain() -> None:
    """Without keys the answer is stored after a byte that marks it as plain, and is read without keys."""
    stored = PinCipher([]).encrypt("i", "mail", ANSWER)
    assert (b'0{"password":"planted"}', False, ANSWER) == (
        stored,
        is_encrypted(stored),
        PinCipher([]).decrypt("i", "mail", stored),
    )


def test_with_a_key_a_plain_answer_is_refused() -> None:
    """Whoever can write to the table could have planted it: it is returned with `allow_plain` only."""
    stored = PinCipher([]).encrypt("i", "mail", ANSWER)
    with pytest.raises(
        PinsUnavailable, match=r"^the pinned answer is not encrypted, and \[pins\] allow_plain is not set$"
    ):
        PinCipher([NEW]).decrypt("i", "mail", stored)
    assert ANSWER == PinCipher([NEW], allow_plain=True).decrypt("i", "mail", stored)


def test_with_a_key_an_answer_is_encrypted_differently_each_time() -> None:
    """Encrypted answers show neither their content nor whether two of them are equal."""
    cipher = PinCipher([NEW])
    first, second = (cipher.encrypt("i", "mail", ANSWER) for _ in range(2))
    assert (False, True, True) == (b"planted" in first, is_encrypted(first), first != second)
    assert ANSWER == cipher.decrypt("i", "mail", first)


def test_the_first_key_encrypts_and_any_key_decrypts() -> None:
    """The first of several keys encrypts, and each of them decrypts."""
    cipher = PinCipher([NEW, OLD])
    assert ANSWER == cipher.decrypt("i", "mail", PinCipher([OLD]).encrypt("i", "mail", ANSWER))
    assert ANSWER == PinCipher([NEW]).decrypt("i", "mail", cipher.encrypt("i", "mail", ANSWER))


@pytest.mark.parametrize("keys", [[OTHER], []])
@pytest.mark.parametrize("damage", [b"", b"x"])
def test_an_answer_without_its_key_or_damaged_is_refused(keys: list[str], damage: bytes) -> None:
    """An answer whose key is missing, or that was damaged, raises PinsUnavailable."""
    stored = PinCipher([NEW]).encrypt("i", "mail", ANSWER) + damage
    with pytest.raises(PinsUnavailable, match=r"^the pinned answer cannot be decrypted$"):
        PinCipher(keys).decrypt("i", "mail", stored)


@pytest.mark.parametrize("stored", [b"", b"2", b"1", b"\x00"])
def test_a_stored_value_of_unknown_form_is_refused(stored: bytes) -> None:
    """An empty value, or one of another version, raises PinsUnavailable."""
    with pytest.raises(PinsUnavailable, match=r"^the pinned answer cannot be decrypted$"):
        PinCipher([NEW]).decrypt("i", "mail", stored)


@pytest.mark.parametrize(("instance_id", "handler"), [("j", "mail"), ("i", "mai"), ("i", "dns")])
def test_an_answer_belongs_to_its_instance_and_handler(instance_id: str, handler: str) -> None:
    """An answer that was moved to another instance's or handler's row raises PinsUnavailable."""
    stored = PinCipher([NEW]).encrypt("i", "mail", ANSWER)
    with pytest.raises(PinsUnavailable, match=r"^the pinned answer belongs to another instance$"):
        PinCipher([NEW]).decrypt(instance_id, handler, stored)


@pytest.mark.parametrize("keys", [["planted"], [NEW, ""], ["\N{SNOWMAN}"], [NEW[:-4]]])
def test_an_invalid_key_is_refused_without_quoting_it(keys: list[str]) -> None:
    """The message about an invalid key says what a key looks like and does not quote it."""
    with pytest.raises(ConfigError) as raised:
        PinCipher(keys)
    assert "[pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64" == str(raised.value)


def test_an_answer_is_reencrypted_with_the_newest_key() -> None:
    """A plain answer, or one with an older key, is encrypted with the newest key; one that has it is unchanged."""
    cipher = PinCipher([NEW, OLD], allow_plain=True)
    for stored in (PinCipher([]).encrypt("i", "mail", ANSWER), PinCipher([OLD]).encrypt("i", "mail", ANSWER)):
        renewed = cipher.reencrypt("i", "mail", stored)
        assert renewed is not None
        assert ANSWER == PinCipher([NEW]).decrypt("i", "mail", renewed)
        assert cipher.reencrypt("i", "mail", renewed) is None
