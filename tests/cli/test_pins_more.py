"""The commands on pins that have a project, that expire, or that belong to the same handler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.pin_operator import A, B, C, Operator, line, seen
from tests.support.pin_stores import make_table, with_store
from vendorsrv.pins.store import PinStore

EXPIRES = "2096-10-02T07:06:40Z"


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator of a store with a pin that expires in this century, one that has expired, and a usual one."""
    made = Operator(tmp_path, None)
    make_table(made.url)

    async def add(store: PinStore) -> None:
        await store.add(A, "token", b"0{}", 1_700_000_000.0, expires_at=4e9, project_id="0b9d")
        await store.add(B, "token", b"0{}", 1_700_000_000.0, expires_at=1.0)

    with_store(made.url, add)
    made.pin((C, "token"))
    return made


def test_show_prints_the_project_and_the_time(operator: Operator) -> None:
    """Pins show prints the project and when the pin expires."""
    assert [
        f"instance: {A}",
        "handler: token",
        "pinned at: 2023-11-14T22:13:20Z",
        f"expires at: {EXPIRES}",
        "project id: 0b9d",
        "stored: plain",
    ] == operator.run("pins", "show", A).stdout.splitlines()[:6]


def test_what_has_expired_is_not_listed(operator: Operator) -> None:
    """Pins that have expired are neither listed, shown nor exported."""
    listed = json.loads(operator.run("pins", "list", "--json").stdout)
    assert [A, C] == [each["instance_id"] for each in listed]
    assert (1, "", f"vendorsrv: instance {B} has no pin\n") == seen(operator.run("pins", "show", B))
    assert 2 == len(operator.run("pins", "export").stdout.splitlines())


def test_an_import_restores_the_project_and_the_time(operator: Operator, tmp_path: Path) -> None:
    """What is exported with a project and a time is imported with both."""
    exported = operator.run("pins", "export").stdout
    (tmp_path / "other").mkdir()
    other = Operator(tmp_path / "other", None)
    make_table(other.url)
    assert (0, "2 pins imported, 0 existed already\n", "") == seen(other.run("pins", "import", "-", typed=exported))
    assert exported == other.run("pins", "export").stdout


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"expires_at": "soon"}, "has a value of expires_at that is not a time in ISO 8601"),
        ({"project_id": 5}, "is not an object with the strings answer, handler, instance_id, pinned_at"),
        ({"handler": "token:prepared"}, "has an instance_id that is not a UUID, or a handler that is not a name"),
    ],
)
def test_a_line_that_is_wrong_is_refused(operator: Operator, changes: dict[str, object], expected: str) -> None:
    """A line with a wrong time, project or name says what is wrong."""
    result = operator.run("pins", "import", "-", typed=line(**changes))
    assert (1, "", f"vendorsrv: line 1 {expected}; 0 pins were imported before it\n") == seen(result)


def test_a_preparation_is_imported(operator: Operator) -> None:
    """What a handler prepared is a pin of its own."""
    result = operator.run("pins", "import", "-", typed=line(handler="mail:prepare"))
    assert (0, "1 pin imported, 0 existed already\n", "") == seen(result)


def test_a_handler_means_all_its_pins(operator: Operator) -> None:
    """Pins forget --handler forgets the answers for all targets and the preparation, and nothing of another handler."""
    operator.pin((B, "mail"), (B, "mail:cloud-init"), (B, "mail:prepare"), (B, "mail-2"))
    result = operator.run("pins", "forget", B, "--handler", "mail", "--yes")
    assert [f"forgotten: {B} mail{suffix}" for suffix in ("", ":cloud-init", ":prepare")] == result.stdout.splitlines()
    assert f"forgotten: {B} mail-2\n" == operator.run("pins", "forget", B, "--yes").stdout
