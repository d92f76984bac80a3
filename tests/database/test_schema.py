"""The schema of the database: created, upgraded, and refused when it is of another version."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from tests.support.pin_racing import race, start, upgrade
from tests.support.pin_stores import KINDS, database_url, execute, make_table, with_database
from vendorsrv import ConfigError
from vendorsrv.database.engine import Database
from vendorsrv.database.schema import METADATA, VERSION_TABLE, prepare, verify
from vendorsrv.database.schema import upgrade as upgrade_database
from vendorsrv.lifecycle.table import DELETIONS

MISSING = "[database] connection: the database has no tables of vendorsrv; run: vendorsrv db upgrade --config-file FILE"
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
    """Return what alembic would change to get from the database to the tables of the code."""
    assert DELETIONS.name in METADATA.tables  # each package adds its own
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    found = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    return [each for each in found if not (each[0] == "remove_table" and each[1].name == "vendorsrv_expansion")]


async def differences_of(database: Database) -> list[object]:
    """Return the same on a connection of its own."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(differences)


@pytest.mark.parametrize("kind", KINDS)
def test_the_migrations_create_the_tables_of_the_code(kind: str, tmp_path: Path) -> None:
    """The migrations create each column, type and index of the code; to run them again changes nothing."""
    with database_url(kind, tmp_path) as url:
        make_table(url)
        assert [] == with_database(url, differences_of)
        make_table(url)
        assert [("0001",)] == with_database(url, lambda database: execute(database, "SELECT * FROM vendorsrv_version"))
        expansion = with_database(url, lambda database: execute(database, "SELECT * FROM vendorsrv_expansion"))
        assert [("0003",)] == expansion


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_expansion_is_completed(kind: str, tmp_path: Path) -> None:
    """An expansion that ended after its first column, or before its version was noted, adds what is missing."""
    with database_url(kind, tmp_path) as url:
        make_table(url)
        drop_index = f"DROP INDEX pins_by_expiry{' ON pins' if kind == 'mariadb' else ''}"
        for dropped in (
            [],
            [drop_index, "ALTER TABLE pins DROP COLUMN expires_at"],
            [f"DROP INDEX deletions_by_end{' ON deletions' if kind == 'mariadb' else ''}"],
            ["DROP TABLE deletions"],
        ):
            for statement in (*dropped, "DROP TABLE vendorsrv_expansion"):
                with_database(url, partial(execute, statement=statement))
            make_table(url)
            assert [] == with_database(url, differences_of)


@pytest.mark.parametrize("kind", KINDS)
def test_the_expansion_of_an_older_version_is_refused_and_that_of_a_newer_is_not(kind: str, tmp_path: Path) -> None:
    """A start refuses a database that lacks an expansion, and takes one that a newer version has expanded."""
    older = OLDER.replace("0000", "0001")
    with database_url(kind, tmp_path) as url:
        make_table(url)
        newer = partial(execute, statement="UPDATE vendorsrv_expansion SET version_num = '9999'")
        with_database(url, newer)
        with_database(url, prepare)
        with_database(url, partial(execute, statement="DROP TABLE vendorsrv_expansion"))
        assert older == refusal(url, prepare)


def test_concurrent_upgrades_both_succeed(empty: str) -> None:
    """Two processes that upgrade an empty database at once both succeed."""
    assert ["upgraded", "upgraded"] == race(2, upgrade, empty)
    with_database(empty, verify)


def test_workers_that_start_together_create_one_private_file(tmp_path: Path) -> None:
    """The first start creates the SQLite file with mode 600 in a folder with mode 700, and nothing else there."""
    folder = tmp_path / "state"
    assert ["ready", "ready"] == race(2, start, f"sqlite:///{folder}/pins.db")
    assert ["pins.db"] == [path.name for path in folder.iterdir()]
    assert (0o700, 0o600) == (mode(folder), mode(folder / "pins.db"))


def test_an_upgrade_creates_a_private_file(tmp_path: Path) -> None:
    """`db upgrade` creates the SQLite file with mode 600."""
    make_table(f"sqlite:///{tmp_path}/pins.db")
    assert 0o600 == mode(tmp_path / "pins.db")


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_of_another_version_is_refused(kind: str, tmp_path: Path) -> None:
    """A start refuses a missing, an older and a newer schema; an upgrade refuses a newer one."""
    with database_url(kind, tmp_path) as url:
        if kind == "sqlite":
            (tmp_path / "pins.db").touch()
        assert MISSING == refusal(url, prepare)
        make_table(url)
        with_database(url, lambda database: execute(database, "UPDATE vendorsrv_version SET version_num = '0000'"))
        assert OLDER == refusal(url, prepare)
        with_database(url, lambda database: execute(database, "UPDATE vendorsrv_version SET version_num = '9999'"))
        assert [NEWER, NEWER] == [refusal(url, prepare), refusal(url, upgrade_database)]


def refusal(url: str, work: Callable[[Database], Awaitable[None]]) -> str:
    """Return the reason why a database is refused."""
    with pytest.raises(ConfigError) as raised:
        with_database(url, work)
    return str(raised.value)


def test_a_database_in_memory_is_created_at_each_start() -> None:
    """A start creates the tables in `sqlite://`, which the demo uses."""

    async def work(database: Database) -> list[object]:
        await prepare(database)
        return await differences_of(database)

    assert [] == with_database("sqlite://", work)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////proc/no/pins.db", r"/proc/no/pins\.db cannot be created: No such file or directory"),
        ("sqlite:////proc/version/pins.db", r"/proc/version/pins\.db cannot be created: File exists"),
        ("sqlite:////proc/version", r"\[database\] connection: the database cannot be upgraded: .*"),
        (
            "postgresql://127.0.0.1:1/planted",
            r"\[database\] connection: the database cannot be upgraded: .* Connect(ion refused| call failed \(.*)",
        ),
    ],
)
def test_a_failed_upgrade_says_the_reason_of_the_system_or_the_database(url: str, expected: str) -> None:
    """An upgrade that fails quotes the operating system's or the database's own reason."""
    with pytest.raises(ConfigError, match=f"^{expected}$"):
        make_table(url)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_an_upgrade_of_a_missing_database_says_so(kind: str, tmp_path: Path) -> None:
    """An upgrade of a database that does not exist quotes the server's message."""
    with database_url(kind, tmp_path) as url:
        missing = url.replace("vendorsrv_test_", "planted_")
    with pytest.raises(ConfigError, match=r"cannot be upgraded: .*([Uu]nknown database|does not exist)"):
        make_table(missing)


def test_a_failed_upgrade_of_postgresql_changes_nothing(tmp_path: Path) -> None:
    """A migration that fails on PostgreSQL is rolled back, and succeeds once its cause is gone."""
    with database_url("postgresql", tmp_path) as url:
        with_database(url, lambda database: execute(database, "CREATE TABLE pins_by_age (planted int)"))
        with pytest.raises(ConfigError, match=r"pins_by_age"):
            make_table(url)
        with_database(url, lambda database: execute(database, "DROP TABLE pins_by_age"))
        make_table(url)
        assert [] == with_database(url, differences_of)
