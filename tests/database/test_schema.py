"""The schema of the pin store: created, upgraded, and refused when it is not ours."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from tests.support.pin_racing import race, start, upgrade
from tests.support.pin_stores import KINDS, database_url, execute, make_table, with_store
from vendorsrv import ConfigError
from vendorsrv.database.schema import prepare, verify
from vendorsrv.database.schema import upgrade as upgrade_store
from vendorsrv.pins.store import PinStore
from vendorsrv.pins.table import METADATA, VERSION_TABLE

MISSING = "[database] connection: the database has no table of pins; run: vendorsrv db upgrade --config-file FILE"
OLDER = (
    "[database] connection: the schema (0000) is of an older version of vendorsrv; "
    "run: vendorsrv db upgrade --config-file FILE"
)
NEWER = "[database] connection: the schema (9999) is of a newer version of vendorsrv; install that version"


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database; for SQLite, a file that does not exist yet."""
    with database_url(request.param, tmp_path) as url:
        yield url


def differences(connection: Connection) -> list[object]:
    """What alembic would change to get from the database to the table that the code describes."""
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


async def differences_of(store: PinStore) -> list[object]:
    """The same for a store."""
    async with store.engine.connect() as connection:
        return await connection.run_sync(differences)


@pytest.mark.parametrize("kind", KINDS)
def test_the_migrations_make_the_table_of_the_code(kind: str, tmp_path: Path) -> None:
    """Column by column, with types and index; running them again changes nothing."""
    with database_url(kind, tmp_path) as url:
        make_table(url)
        assert [] == with_store(url, differences_of)
        make_table(url)
        assert [("0001",)] == with_store(url, lambda store: execute(store, "SELECT * FROM vendorsrv_version"))


def test_upgrades_at_once(empty: str) -> None:
    """One after the other; both succeed."""
    assert ["upgraded", "upgraded"] == race(2, upgrade, empty)
    with_store(empty, verify)


def test_a_file_is_created_whole_at_the_first_start(tmp_path: Path) -> None:
    """By whichever of the workers is first; only its owner can read it, and nothing is left beside it."""
    folder = tmp_path / "state"
    assert ["ready", "ready"] == race(2, start, f"sqlite:///{folder}/pins.db")
    assert ["pins.db"] == [path.name for path in folder.iterdir()]
    assert (0o700, 0o600) == (mode(folder), mode(folder / "pins.db"))


def test_an_upgrade_creates_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    """As a start does."""
    make_table(f"sqlite:///{tmp_path}/pins.db")
    assert 0o600 == mode(tmp_path / "pins.db")


def mode(path: Path) -> int:
    """Give a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", KINDS)
def test_another_schema_is_refused(kind: str, tmp_path: Path) -> None:
    """By a start, and the newer one by an upgrade, too."""
    with database_url(kind, tmp_path) as url:
        if kind == "sqlite":
            (tmp_path / "pins.db").touch()
        assert MISSING == refusal(url, prepare)
        make_table(url)
        with_store(url, lambda store: execute(store, "UPDATE vendorsrv_version SET version_num = '0000'"))
        assert OLDER == refusal(url, prepare)
        with_store(url, lambda store: execute(store, "UPDATE vendorsrv_version SET version_num = '9999'"))
        assert [NEWER, NEWER] == [refusal(url, prepare), refusal(url, upgrade_store)]


def refusal(url: str, work: Callable[[PinStore], Awaitable[None]]) -> str:
    """Say why something cannot be done with a store."""
    with pytest.raises(ConfigError) as raised:
        with_store(url, work)
    return str(raised.value)


def test_a_store_in_memory_is_made_each_time() -> None:
    """It lasts as long as its process: the demo's."""

    async def work(store: PinStore) -> list[object]:
        await prepare(store)
        return await differences_of(store)

    assert [] == with_store("sqlite://", work)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////proc/no/pins.db", r"/proc/no/pins\.db cannot be created: No such file or directory"),
        ("sqlite:////proc/version/pins.db", r"/proc/version/pins\.db cannot be created: File exists"),
        ("sqlite:////proc/version", r"\[database\] connection: the database cannot be upgraded: .*"),
        (
            "postgresql://127.0.0.1:1/planted",
            r"\[database\] connection: the database cannot be upgraded: .* Connect call failed \('127.0.0.1', 1\)",
        ),
    ],
)
def test_what_cannot_be_created_or_upgraded(url: str, expected: str) -> None:
    """The reason is the system's or the database's."""
    with pytest.raises(ConfigError, match=f"^{expected}$"):
        make_table(url)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_is_not_there(kind: str, tmp_path: Path) -> None:
    """Its own words say so."""
    with database_url(kind, tmp_path) as url:
        missing = url.replace("vendorsrv_test_", "planted_")
    with pytest.raises(ConfigError, match=r"cannot be upgraded: .*([Uu]nknown database|does not exist)"):
        make_table(missing)


def test_a_half_upgrade_of_postgresql_leaves_nothing(tmp_path: Path) -> None:
    """So that it can be run again once the reason is gone."""
    with database_url("postgresql", tmp_path) as url:
        with_store(url, lambda store: execute(store, "CREATE TABLE pins_by_age (planted int)"))
        with pytest.raises(ConfigError, match=r"pins_by_age"):
            make_table(url)
        with_store(url, lambda store: execute(store, "DROP TABLE pins_by_age"))
        make_table(url)
        assert [] == with_store(url, differences_of)
