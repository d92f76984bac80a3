"""What a pinned answer looks like at rest."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from vendorsrv import ConfigError
from vendorsrv.errors import PinsUnavailable
from vendorsrv.pins.cipher import PinCipher, is_sealed

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
ANSWER = b'{"password":"planted"}'


def test_without_keys_an_answer_is_stored_as_it_is() -> None:
    """A byte before it says so."""
    stored = PinCipher([]).seal("i", "mail", ANSWER)
    assert (b'0{"password":"planted"}', False, ANSWER) == (
        stored,
        is_sealed(stored),
        PinCipher([NEW]).unseal("i", "mail", stored),
    )


def test_with_a_key_an_answer_is_unreadable() -> None:
    """And different each time, so that equal answers do not show."""
    cipher = PinCipher([NEW])
    first, second = (cipher.seal("i", "mail", ANSWER) for _ in range(2))
    assert (False, True, True) == (b"planted" in first, is_sealed(first), first != second)
    assert ANSWER == cipher.unseal("i", "mail", first)


def test_any_of_the_keys_decrypts() -> None:
    """The first one encrypts."""
    cipher = PinCipher([NEW, OLD])
    assert ANSWER == cipher.unseal("i", "mail", PinCipher([OLD]).seal("i", "mail", ANSWER))
    assert ANSWER == PinCipher([NEW]).unseal("i", "mail", cipher.seal("i", "mail", ANSWER))


@pytest.mark.parametrize("keys", [[OTHER], []])
@pytest.mark.parametrize("damage", [b"", b"x"])
def test_without_its_key_an_answer_is_not_given(keys: list[str], damage: bytes) -> None:
    """Nor is one that was damaged: the request fails."""
    stored = PinCipher([NEW]).seal("i", "mail", ANSWER) + damage
    with pytest.raises(PinsUnavailable, match=r"^the pinned answer cannot be decrypted$"):
        PinCipher(keys).unseal("i", "mail", stored)


@pytest.mark.parametrize("stored", [b"", b"2", b"1", b"\x00"])
def test_what_nobody_stored_is_not_given(stored: bytes) -> None:
    """A column that somebody emptied, or another version's."""
    with pytest.raises(PinsUnavailable, match=r"^the pinned answer cannot be decrypted$"):
        PinCipher([NEW]).unseal("i", "mail", stored)


@pytest.mark.parametrize(("instance_id", "handler"), [("j", "mail"), ("i", "mai"), ("i", "dns")])
def test_an_answer_belongs_to_its_instance_and_handler(instance_id: str, handler: str) -> None:
    """Who can write to the store cannot give one instance the answer of another."""
    stored = PinCipher([NEW]).seal("i", "mail", ANSWER)
    with pytest.raises(PinsUnavailable, match=r"^the pinned answer belongs to another instance$"):
        PinCipher([NEW]).unseal(instance_id, handler, stored)


@pytest.mark.parametrize("keys", [["planted"], [NEW, ""], ["\N{SNOWMAN}"], [NEW[:-4]]])
def test_a_key_that_is_none_is_refused(keys: list[str]) -> None:
    """The message does not hold it."""
    with pytest.raises(ConfigError) as raised:
        PinCipher(keys)
    assert "[pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64" == str(raised.value)


def test_an_answer_is_encrypted_anew_with_the_newest_key() -> None:
    """Whether it was stored as it is or with an older key; with the newest one it stays."""
    cipher = PinCipher([NEW, OLD])
    for stored in (PinCipher([]).seal("i", "mail", ANSWER), PinCipher([OLD]).seal("i", "mail", ANSWER)):
        renewed = cipher.renew("i", "mail", stored)
        assert renewed is not None
        assert ANSWER == PinCipher([NEW]).unseal("i", "mail", renewed)
        assert cipher.renew("i", "mail", renewed) is None
