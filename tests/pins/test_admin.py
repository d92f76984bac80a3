"""Export, import, purge and rotation of pins, which neither lose nor change an answer."""

from __future__ import annotations

import json
import stat
import uuid
from pathlib import Path

import pytest

from tests.support.pin_operator import ANSWER, NEW, OLD, OTHER, A, B, C, Operator, line, seen
from tests.support.pin_stores import make_table
from vendorsrv.pins.cipher import PinCipher

UNREADABLE = "the pinned answer cannot be decrypted"
#: Another instance.
D = "dddddddd-9e1f-4f0e-9f38-2f5d6a0b1c2d"
PLAIN = "the pinned answer is not encrypted, and [pins] allow_plain is not set"


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """The operator of an empty store."""
    made = Operator(tmp_path, None)
    make_table(made.url)
    return made


def test_an_import_restores_every_exported_pin(operator: Operator, tmp_path: Path) -> None:
    """An import restores each exported answer and its time, in the new store's encryption; existing pins stay."""
    operator.pin((A, "mail"), (B, "mail"))
    exported = operator.run("pins", "export")
    assert "2 pins exported\n" == exported.stderr
    (tmp_path / "other").mkdir()
    other = Operator(tmp_path / "other", None, [NEW])
    make_table(other.url)
    other.pin((A, "mail"), answer=b"{}", cipher=PinCipher([NEW]))
    assert (0, "1 pin imported, 1 existed already\n", "") == seen(
        other.run("pins", "import", "-", typed=exported.stdout + "\n")
    )
    assert (b"{}", ANSWER) == tuple(
        PinCipher([NEW]).decrypt(instance_id, "mail", stored) for instance_id, stored in sorted(other.stored().items())
    )
    assert "2023-11-14T22:13:20.500000Z" in other.run("pins", "show", B).stdout


def test_an_export_to_a_file_is_private(operator: Operator, tmp_path: Path) -> None:
    """An export writes a file with mode 600, even in place of one with another mode; an import reads it."""
    operator.pin((A, "mail"))
    path = tmp_path / "backup"
    path.touch(0o644)
    assert (0, "", "1 pin exported\n") == seen(operator.run("pins", "export", str(path)))
    assert (0o600, 1, A) == (
        stat.S_IMODE(path.stat().st_mode),
        len(path.read_text().splitlines()),
        json.loads(path.read_text())["instance_id"],
    )
    assert (0, "0 pins imported, 1 existed already\n", "") == seen(operator.run("pins", "import", str(path)))


def test_a_failed_export_keeps_the_previous_file(operator: Operator, tmp_path: Path) -> None:
    """An export that meets an answer without its key fails and leaves the file and its folder as they were."""
    operator.pin((A, "mail"))
    operator.pin((B, "mail"), cipher=PinCipher([OLD]))
    path = tmp_path / "backup"
    path.write_text("the last one")
    assert (1, "", f"vendorsrv: instance {B}, handler mail: the pinned answer cannot be decrypted\n") == seen(
        operator.run("pins", "export", str(path))
    )
    assert "the last one" == path.read_text()
    assert [] == list(tmp_path.glob(".backup*"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/null", "/dev/null is not a regular file"),
        ("/proc/no/backup", "/proc/no/backup cannot be written: No such file or directory"),
    ],
)
def test_an_export_to_an_unusable_path_is_refused(operator: Operator, path: str, expected: str) -> None:
    """An export to a device or a missing folder fails with the reason."""
    assert (1, "", f"vendorsrv: {expected}\n") == seen(operator.run("pins", "export", path))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("planted", "is not JSON: Expecting value (line 1, column 1)"),
        ("[]", "is not an object with the strings answer, handler, instance_id, pinned_at"),
        (line(more="planted"), "is not an object with the strings answer, handler, instance_id, pinned_at"),
        (line(answer={}), "is not an object with the strings answer, handler, instance_id, pinned_at"),
        (line(instance_id="planted"), "has an instance_id that is not a UUID, or a handler that is not a name"),
        (line(handler="Planted"), "has an instance_id that is not a UUID, or a handler that is not a name"),
        (line(pinned_at="planted"), "has a value of pinned_at that is not a time in ISO 8601"),
        (line(answer="planted"), "has an answer that is not JSON: Expecting value (line 1, column 1)"),
    ],
)
def test_an_import_stops_at_an_invalid_line(operator: Operator, second: str, expected: str) -> None:
    """An invalid line is named by number and not quoted; the lines before it are imported."""
    result = operator.run("pins", "import", "-", typed=f"{line(instance_id=A)}\n{second}\n{line()}\n")
    assert (1, "", f"vendorsrv: line 2 {expected}; 1 pins were imported before it\n") == seen(result)
    assert {A: b"0{}"} == operator.stored()


@pytest.mark.parametrize(("older_than", "left"), [("1", set()), ("1d", set()), ("36h", set()), ("99999d", {A, B})])
def test_purge_deletes_pins_older_than_an_age(operator: Operator, older_than: str, left: set[str]) -> None:
    """Pins that are older than the given days or hours are deleted, and no others."""
    operator.pin((A, "mail"), (B, "mail"))
    assert (0, f"{2 - len(left)} pins deleted\n", "") == seen(operator.run("pins", "purge", "--older-than", older_than))
    assert left == set(operator.stored())


@pytest.mark.parametrize("older_than", ["", "-1", "1w", "planted", "1234567"])
def test_purge_refuses_an_age_that_is_not_in_days_or_hours(operator: Operator, older_than: str) -> None:
    """An age of any other form is a usage error."""
    result = operator.run("pins", "purge", "--older-than", older_than)
    assert (2, True) == (result.exit_code, "is not a number of days (30, 30d) or hours (12h)" in result.stderr)


def test_rotate_encrypts_everything_with_the_newest_key(tmp_path: Path) -> None:
    """A rotation encrypts plain answers and those with older keys with the newest key, and leaves the others."""
    operator = Operator(tmp_path, None, [NEW, OLD], allow_plain=True)
    make_table(operator.url)
    for instance_id, keys in ((A, []), (B, [OLD]), (C, [NEW])):
        operator.pin((instance_id, "mail"), cipher=PinCipher(keys))
    before = operator.stored()[C]
    assert (0, "2 pins encrypted with the newest key, 1 already were\n", "") == seen(operator.run("pins", "rotate"))
    assert [ANSWER] * 3 == [PinCipher([NEW]).decrypt(each, "mail", kept) for each, kept in operator.stored().items()]
    assert before == operator.stored()[C]


def test_rotate_leaves_what_it_cannot_decrypt(tmp_path: Path) -> None:
    """A rotation counts the answers that no key decrypts or that nothing proves, a line a reason; its status is 1."""
    operator = Operator(tmp_path, None, [NEW, OLD])
    make_table(operator.url)
    for instance_id, keys in ((A, [OTHER]), (B, []), (C, [OLD])):
        operator.pin((instance_id, "mail"), cipher=PinCipher(keys))
    operator.pin((D, "mail"), cipher=PinCipher([OTHER]))
    before = operator.stored()
    assert (
        1,
        "1 pin encrypted with the newest key, 0 already were\n",
        (
            f"vendorsrv: 2 pins of handler mail: {UNREADABLE} (the first of instance {A})\n"
            f"vendorsrv: 1 pin of handler mail: {PLAIN} (the first of instance {B})\n"
        ),
    ) == seen(operator.run("pins", "rotate"))
    assert [True, True, False, True] == [before[each] == kept for each, kept in sorted(operator.stored().items())]


def test_rotate_shows_its_progress(tmp_path: Path) -> None:
    """A rotation says after each thousand answers how far it is."""
    operator = Operator(tmp_path, None, [NEW, OLD])
    make_table(operator.url)
    operator.pin(*((str(uuid.UUID(int=number)), "mail") for number in range(1001)), cipher=PinCipher([OLD]))
    assert (
        0,
        "1001 pins encrypted with the newest key, 0 already were\n",
        "1000 pins so far\n",
    ) == seen(operator.run("pins", "rotate"))


def test_rotate_needs_a_key(operator: Operator) -> None:
    """A rotation without a key is refused."""
    assert (
        1,
        "",
        "vendorsrv: [pins] encryption_keys: required; the answers are encrypted with the first key\n",
    ) == seen(operator.run("pins", "rotate"))
