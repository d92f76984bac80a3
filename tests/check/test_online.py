"""The check that asks Keystone, the database and the shared cache for real."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from click.testing import CliRunner

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import write_config
from vendorsrv.cli.main import main

PINNING = "[handler:echo]\npin = true\n"
#: Nobody listens on this port.
NO_CACHE = "[cache]\nenabled = true\nbackend = dogpile.cache.pymemcache\nmemcache_servers = 127.0.0.1:9\n"


def errors(config: Path, *options: str) -> list[str]:
    """The errors of `vendorsrv check`, without the file's name and the line."""
    result = CliRunner().invoke(main, ["check", *options, "--config-file", str(config)])
    return [line.split(": error: ")[1] for line in result.stdout.splitlines() if ": error: " in line]


def test_nothing_is_asked_without_the_option(tmp_path: Path) -> None:
    """Without --online a Keystone and a cache that do not answer are no errors."""
    assert [] == errors(write_config(tmp_path, sections=NO_CACHE))


def test_a_keystone_and_a_cache_that_do_not_answer(tmp_path: Path) -> None:
    """With --online each peer that does not answer is an error."""
    assert [
        "[keystone_authtoken] Keystone does not answer, or refuses the account in [keystone_authtoken]",
        "[cache] the cache does not answer (MemcacheError)",
    ] == errors(write_config(tmp_path, sections=NO_CACHE), "--online")


def test_an_account_and_a_new_database_that_work(tmp_path: Path, fake: FakeKeystone) -> None:
    """With --online a Keystone that accepts the account, and a database that the server will create, are right."""
    assert [] == errors(write_config(tmp_path, fake, sections=PINNING), "--online")
    assert not (tmp_path / "pins.db").exists()


def test_a_database_with_other_tables(tmp_path: Path, fake: FakeKeystone) -> None:
    """With --online a database without vendorsrv's tables is an error."""
    with sqlite3.connect(tmp_path / "pins.db") as other:
        other.execute("CREATE TABLE pins (other TEXT)")
    assert [
        "[database] connection: the database has no tables of vendorsrv; run: vendorsrv db upgrade --config-file FILE"
    ] == errors(write_config(tmp_path, fake, sections=PINNING), "--online")


def test_a_database_that_does_not_answer(tmp_path: Path, fake: FakeKeystone) -> None:
    """With --online a file that is no database is an error, whose text has no more than the kind of it."""
    (tmp_path / "pins.db").write_text("no database, and longer than the header of one has to be" * 20)
    assert ["[database] connection: the database does not answer (DatabaseError)"] == errors(
        write_config(tmp_path, fake, sections=PINNING), "--online"
    )


def test_peers_are_not_asked_with_errors(tmp_path: Path) -> None:
    """A configuration with errors is not tried."""
    assert ["[vendorsrv] prot: there is no such option; did you mean port?"] == errors(
        write_config(tmp_path, prot=1), "--online"
    )
