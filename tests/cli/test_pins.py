"""The commands vendorsrv pins and vendorsrv db."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.pin_operator import NEW, OLD, A, B, C, Operator, line, seen
from tests.support.pin_stores import KINDS, age, database_url, execute, make_table, with_store
from vendorsrv.pins.cipher import PinCipher


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator of an empty store."""
    made = Operator(tmp_path, None)
    make_table(made.url)
    return made


def test_list_is_a_line_for_each_pin(operator: Operator) -> None:
    """Pins list prints a line for each pin by instance, without the answers."""
    operator.pin((B, "mail"), (A, "mail"), (A, "dns"))
    status, printed, said = seen(operator.run("pins", "list"))
    assert (0, "") == (status, said)
    assert [
        "instance                              handler  pinned at                    stored",
        f"{A}  dns      2023-11-14T22:13:20.500000Z  plain",
        f"{A}  mail     2023-11-14T22:13:20.500000Z  plain",
        f"{B}  mail     2023-11-14T22:13:20.500000Z  plain",
    ] == printed.splitlines()


def test_list_as_json(operator: Operator) -> None:
    """Pins list --json prints the same as a list of objects."""
    operator.pin((A, "mail"))
    assert [
        {"instance_id": A, "handler": "mail", "pinned_at": "2023-11-14T22:13:20.500000Z", "stored": "plain"}
    ] == json.loads(operator.run("pins", "list", "--json").stdout)


def test_list_is_paged(operator: Operator) -> None:
    """A page has all pins of its instances, and standard error names the option for the next page."""
    operator.pin((A, "dns"), (A, "mail"), (B, "mail"), (C, "mail"))
    first = operator.run("pins", "list", "--limit", "1")
    second = operator.run("pins", "list", "--limit", "1", "--after", A)
    last = operator.run("pins", "list", "--limit", "1", "--after", B)
    assert [(3, f"More pins follow: --after {A}\n"), (2, f"More pins follow: --after {B}\n"), (2, "")] == [
        (len(each.stdout.splitlines()), each.stderr) for each in (first, second, last)
    ]


def test_list_of_one_handler(operator: Operator) -> None:
    """Pins list --handler prints and counts the pins of that handler alone."""
    operator.pin((A, "dns"), (A, "mail"), (B, "dns"))
    result = operator.run("pins", "list", "--handler", "mail", "--limit", "1")
    assert (2, "") == (len(result.stdout.splitlines()), result.stderr)


def test_show_hides_the_answer(operator: Operator) -> None:
    """Pins show does not print the answer without --answer."""
    operator.pin((A, "mail"))
    assert [
        f"instance: {A}",
        "handler: mail",
        "pinned at: 2023-11-14T22:13:20.500000Z",
        "stored: plain",
        "answer: not shown without --answer",
    ] == operator.run("pins", "show", A).stdout.splitlines()


def test_show_gives_the_answer_when_asked(operator: Operator) -> None:
    """Pins show --answer prints the answer as ASCII, which cannot control the terminal."""
    operator.pin((A, "mail"), (A, "dns"))
    result = operator.run("pins", "show", A.upper(), "--handler", "mail", "--answer")
    assert ['answer: {"password": "planted \\u2603", "number": 1.5}'] == result.stdout.splitlines()[4:]


def test_show_as_json(operator: Operator) -> None:
    """Pins show --json has the answer only with --answer."""
    operator.pin((A, "mail"))
    hidden, shown = (json.loads(operator.run("pins", "show", A, "--json", *each).stdout) for each in ([], ["--answer"]))
    assert ({"instance_id", "handler", "pinned_at", "stored"}, {"password": "planted \u2603", "number": 1.5}) == (
        set(hidden[0]),
        shown[0]["answer"],
    )


@pytest.mark.parametrize(("options", "printed"), [([], ""), (["--json"], "[]\n")])
def test_show_of_an_instance_without_pins_exits_with_1(operator: Operator, options: list[str], printed: str) -> None:
    """Pins show exits with 1 when the instance has no pin."""
    assert (1, printed, f"vendorsrv: instance {A} has no pin\n") == seen(operator.run("pins", "show", A, *options))


def test_show_of_what_cannot_be_decrypted(operator: Operator, tmp_path: Path) -> None:
    """Pins show prints an undecryptable pin, and is an error only with --answer."""
    operator.pin((A, "mail"), cipher=PinCipher([OLD]))
    assert "stored: encrypted" in operator.run("pins", "show", A).stdout
    assert (1, "", f"vendorsrv: instance {A}, handler mail: the pinned answer cannot be decrypted\n") == seen(
        operator.run("pins", "show", A, "--answer")
    )


def test_forget_asks_first(operator: Operator) -> None:
    """Pins forget asks for confirmation, and deletes nothing without it."""
    operator.pin((A, "dns"), (A, "mail"))
    status, printed, asked = seen(operator.run("pins", "forget", A, typed="n\n"))
    assert (1, [f"{A} dns", f"{A} mail"]) == (status, asked.splitlines()[:2])
    assert "forgotten" not in printed
    assert "Forget 2 pins? [y/N]" in asked
    assert {A} == set(operator.stored())


def test_forget_says_what_it_forgot(operator: Operator) -> None:
    """Pins forget names the deleted pins and the instances without one; others stay."""
    operator.pin((A, "mail"), (C, "mail"))
    assert (0, f"forgotten: {A} mail\n", f"vendorsrv: instance {B} has no pin\n") == seen(
        operator.run("pins", "forget", "--yes", A.upper(), B)
    )
    assert {C} == set(operator.stored())


def test_forget_deletes_after_a_confirmation(operator: Operator) -> None:
    """Pins forget --handler deletes the pins of that handler alone after a confirmation."""
    operator.pin((A, "dns"), (A, "mail"))
    status, printed, _ = seen(operator.run("pins", "forget", A, "--handler", "dns", typed="y\n"))
    # Before click 8.4 its runner also prints what was typed.
    assert (0, f"forgotten: {A} dns") == (status, printed.splitlines()[-1])
    assert 1 == len(operator.stored())


def test_forget_of_an_instance_without_pins_exits_with_1(operator: Operator) -> None:
    """Pins forget exits with 1, without asking, when there is no pin."""
    assert (1, "", f"vendorsrv: instance {A} has no pin\n") == seen(operator.run("pins", "forget", A))


def test_forget_many(operator: Operator) -> None:
    """Pins forget deletes more pins than one SQL statement can."""
    keys = [(f"{number:08d}-9e1f-4f0e-9f38-2f5d6a0b1c2d", "mail") for number in range(250)]
    operator.pin(*keys)
    result = operator.run("pins", "forget", "--yes", *(instance_id for instance_id, _ in keys))
    assert (0, 250, {}) == (result.exit_code, len(result.stdout.splitlines()), operator.stored())


EVERY = [
    ["list"],
    ["show", A],
    ["forget", "--yes", A],
    ["export"],
    ["import", "-"],
    ["purge", "--older-than", "1"],
    ["rotate"],
]


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command[0])
def test_an_absent_store_is_not_created(tmp_path: Path, command: list[str]) -> None:
    """No command but db upgrade creates a store that does not exist."""
    operator = Operator(tmp_path, None, [NEW])
    assert (1, "", f"vendorsrv: there are no pins yet: {tmp_path}/state/pins.db does not exist\n") == seen(
        operator.run("pins", *command)
    )
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command[0])
def test_a_store_of_another_schema_is_not_touched(operator: Operator, command: list[str]) -> None:
    """A store with another schema is not changed, and the message is the server's."""
    operator.pin((A, "mail"))
    with_store(operator.url, lambda store: execute(store.database, "UPDATE vendorsrv_version SET version_num = '0000'"))
    status, printed, said = seen(operator.run("pins", *command))
    assert (1, "") == (status, printed)
    assert said.startswith("vendorsrv: [database] connection: the schema (0000) is of an older version of vendorsrv")
    assert {A} == set(operator.stored())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", "[database] connection: sqlite:// is the server's memory; no other process reads it"),
        (
            "postgresql://u:planted@127.0.0.1:1/x",
            "the pin store does not answer (ConnectionRefusedError): [Errno 111] ",
        ),
        ("planted", "[database] connection: not a database URL such as sqlite:////var/lib/x.db"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(tmp_path: Path, url: str, expected: str) -> None:
    """A store that cannot be used is one line on standard error, without log lines of libraries."""
    status, output, error = seen(Operator(tmp_path, url).run("pins", "list"))
    assert (1, "", 1) == (status, output, error.count("\n"))
    assert error.startswith(f"vendorsrv: {expected}")
    assert "planted" not in error


def test_a_store_without_its_table_is_one_line(operator: Operator) -> None:
    """A store whose table was dropped is one line on standard error."""
    with_store(operator.url, lambda store: execute(store.database, "DROP TABLE pins"))
    assert (1, "", "vendorsrv: the pin store does not answer (OperationalError): no such table: pins\n") == seen(
        operator.run("pins", "list")
    )


def test_invalid_keys_are_refused(tmp_path: Path) -> None:
    """An invalid encryption key is refused before the store is read."""
    operator = Operator(tmp_path, None, ["planted"])
    make_table(operator.url)
    assert (1, "", "vendorsrv: [pins] encryption_keys: each must be a Fernet key, 32 bytes in URL-safe base64\n") == (
        seen(operator.run("pins", "list"))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_works_on_every_database(kind: str, tmp_path: Path) -> None:
    """Each command does the same on SQLite, PostgreSQL and MariaDB."""
    with database_url(kind, tmp_path) as url:
        operator = Operator(tmp_path, url, [NEW, OLD])
        upgraded = (0, "The database has the schema of this version (0003).\n", "")
        assert [upgraded, upgraded] == [seen(operator.run("db", "upgrade")) for _ in range(2)]
        lines = "\n".join(line(instance_id=each) for each in (A, B, C))
        assert "3 pins imported, 0 existed already\n" == operator.run("pins", "import", "-", typed=lines).stdout
        assert 4 == len(operator.run("pins", "list", "--limit", "1000").stdout.splitlines())
        assert "0 pins encrypted with the newest key, 3 already were\n" == operator.run("pins", "rotate").stdout
        assert f"forgotten: {A} mail\n" == operator.run("pins", "forget", "--yes", A).stdout
        with_store(url, lambda store: age(store, B, "mail", pinned_at=4e9))
        assert "1 pin deleted\n" == operator.run("pins", "purge", "--older-than", "1").stdout
        assert [B] == [json.loads(each)["instance_id"] for each in operator.run("pins", "export").stdout.splitlines()]


def test_an_upgrade_of_an_unavailable_database_is_one_line(tmp_path: Path) -> None:
    """Db upgrade prints one line with the reason when the database is unavailable."""
    status, printed, said = seen(Operator(tmp_path, "postgresql://127.0.0.1:1/x").run("db", "upgrade"))
    assert (1, "", 1) == (status, printed, len(said.splitlines()))
    assert said.startswith("vendorsrv: [database] connection: the database cannot be upgraded: ")
