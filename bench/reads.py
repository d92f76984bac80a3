"""The statements and row reads of a pinned answer, by the database's own counters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import click
import pytest
from sqlalchemy import URL

from bench.contenders import bodies, keystone_and_token, vendorsrv
from bench.effort import EFFORT
from bench.goals import exactly
from bench.keeping import fill_pins
from tests.support.databases import KINDS, NAMES, Database, database, execute
from tests.support.keystone import Keystone
from tests.support.pin_stores import make_table, with_store
from tests.support.waiting import wait_until
from vendorsrv.database.url import async_url
from vendorsrv.pins.store import LOOK_UP

#: Instances of the requests.
REQUESTED: Final = 100
#: More instances with a pin: enough for the database to use the index.
PINNED: Final = 5_000
PASSWORD: Final = "counted"

#: MariaDB's counters of the user and of the table; the user has the database's name.
STATEMENTS: Final = (
    "SELECT sum(select_commands + update_commands + other_commands + rollback_transactions) "
    "FROM information_schema.user_statistics WHERE user = '{}'"
)
READS: Final = (
    "SELECT sum(rows_read) FROM information_schema.index_statistics "
    "WHERE table_schema = '{}' AND table_name = 'pins' AND index_name = 'PRIMARY'"
)
ROWS: Final = (
    "SELECT sum(rows_read) FROM information_schema.table_statistics WHERE table_schema = '{}' AND table_name = 'pins'"
)


class Counts(NamedTuple):
    """What a database did.

    :ivar statements: all kinds; each is a transaction of its own.
    :ivar reads: lookups in the table of pins by its primary key.
    :ivar others: its rows that were read in any other way.
    """

    statements: int
    reads: int
    others: int

    def __sub__(self, before: Counts) -> Counts:
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


class PostgreSQL:
    """PostgreSQL's counters of a database; each session, ours too, is added when it ends."""

    def __init__(self, created: Database) -> None:
        self.created = created
        self.url = created.url
        self.name = created.at.database

    def counts(self) -> Counts:
        """Return the counts so far, once all sessions have ended."""
        wait_until(lambda: self.query_elsewhere("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'") == 0)
        statements = self.query_elsewhere(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{}'"
        )
        [(reads,)] = self.created.execute("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'pins_pkey'")
        [(others,)] = self.created.execute("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'pins'")
        return Counts(statements, reads, others)

    def query_elsewhere(self, statement: str) -> int:
        """Query from another database, where the query itself is not counted."""
        [(found,)] = asyncio.run(execute(self.created.at.set(database="postgres"), [statement.format(self.name)]))
        return int(found)

    def explain(self, statement: str) -> str:
        """Return the plan of a statement."""
        self.created.execute("ANALYZE pins")
        return str(self.created.execute(f"EXPLAIN {statement}")[0][0]).partition("  (")[0]


class MariaDB:
    """MariaDB's counters of a user of its own, with the server's statistics on meanwhile (``userstat``)."""

    def __init__(self, created: Database) -> None:
        self.created = created
        self.name = created.at.database
        own: URL = created.at.set(username=self.name, password=PASSWORD)
        self.url = own.render_as_string(hide_password=False)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Create the user, and turn the statistics on."""
        [(was_on,)] = self.created.execute("SELECT @@GLOBAL.userstat")
        user = f"{self.name}@'%'"
        self.created.execute(
            f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON {self.name}.* TO {user}",
            "SET GLOBAL userstat = 1",
        )
        try:
            yield
        finally:
            self.created.execute(f"SET GLOBAL userstat = {was_on}", f"DROP USER {user}")

    def counts(self) -> Counts:
        """Return the counts so far."""
        statements, reads, rows = (self.number(each) for each in (STATEMENTS, READS, ROWS))
        return Counts(statements, reads, rows - reads)

    def number(self, statement: str) -> int:
        """Return the single value of a query."""
        [(found,)] = self.created.execute(statement.format(self.name))
        return int(found or 0)

    def explain(self, statement: str) -> str:
        """Return the plan of a statement."""
        self.created.execute("ANALYZE TABLE pins")
        [plan] = self.created.execute(f"EXPLAIN {statement}")
        return f"{plan[3]} by {plan[5]}"  # the columns `type` and `key`


def statement_for(url: str) -> str:
    """Return the SQL that reads a pinned answer, for an instance of the benchmarks."""
    dialect: Any = async_url(url).get_dialect()
    instance_id = json.loads(bodies(1)[0])["instance-id"]
    statement = LOOK_UP.params(instance_id=instance_id, handler="pinned")
    return str(statement.compile(dialect=dialect(), compile_kwargs={"literal_binds": True}))


def send_requests(keystone: Keystone, token: str, url: str, times: int) -> None:
    """Start a server, send requests for the same instances in turn, and stop it."""
    payloads = bodies(REQUESTED)
    options = {"database": {"connection": url}}
    with TemporaryDirectory() as folder, vendorsrv(Path(folder, "server"), keystone, ["Pinned"], options) as server:
        for number in range(times):
            server.post("/pinned", token, payloads[number % REQUESTED]).raise_for_status()


def cost(counters: PostgreSQL | MariaDB, keystone: Keystone, token: str, requests: int) -> tuple[Counts, str]:
    """Return the counts of this many answers, without those of a start and a stop, and the statement's plan."""
    make_table(counters.url)
    with_store(counters.url, lambda store: fill_pins(store, PINNED))
    send_requests(keystone, token, counters.url, REQUESTED)
    counted = [counters.counts()]
    for times in (REQUESTED, REQUESTED + requests):
        send_requests(keystone, token, counters.url, times)
        counted.append(counters.counts())
    before, between, after = counted
    return (after - between) - (between - before), counters.explain(statement_for(counters.url))


def measure(kind: str, keystone: Keystone, token: str, requests: int) -> tuple[Counts, str]:
    """Measure one database.

    :raises pytest.skip.Exception: it does not run.
    """
    with database(kind) as created:
        if kind == "postgresql":
            return cost(PostgreSQL(created), keystone, token, requests)
        counters = MariaDB(created)
        with counters.counting():
            return cost(counters, keystone, token, requests)


def report() -> list[dict[str, object]]:
    """Return a row for each database: its work for one pinned answer."""
    requests = EFFORT.get().requests
    rows: list[dict[str, object]] = []
    with keystone_and_token() as (keystone, token):
        for kind in KINDS:
            try:
                counts, plan = measure(kind, keystone, token, requests)
            except (pytest.skip.Exception, pytest.fail.Exception) as missing:
                click.echo(f"{NAMES[kind]} is skipped: {missing}", err=True)
                continue
            reads = round(counts.reads / requests, 3)
            rows.append(
                {
                    "what": f"reads by primary key for a pinned answer, {NAMES[kind]}",
                    "reads": reads,
                    **exactly(reads, 1),
                    "rows read otherwise": counts.others,
                    "statements": round(counts.statements / requests, 3),
                    "plan": plan,
                }
            )
    return rows
