"""vendorsrv 0.1.0 beside this version: its schema and statements as they were, and the program itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support import real_peers as peers
from tests.support.processes import ROOT
from tests.support.serving import SERVE, Process
from tests.support.waiting import wait_until

#: The package of its last commit: ``git archive 1bf90ec vendorsrv | gzip -9n``. A checkout may have no history.
ARCHIVE: Final = Path(__file__).with_suffix(".tar.gz")
BLOB: Final = {"sqlite": "BLOB", "postgresql": "BYTEA", "mariadb": "MEDIUMBLOB"}
DOUBLE: Final = {"sqlite": "DOUBLE", "postgresql": "DOUBLE PRECISION", "mariadb": "DOUBLE"}


def schema(kind: str) -> tuple[str, ...]:
    """Return the statements by which 0.1.0 created its tables."""
    columns = (
        "instance_id VARCHAR(36) NOT NULL, handler VARCHAR(63) NOT NULL, "
        f"answer {BLOB[kind]}, owner VARCHAR(32), claimed_at {DOUBLE[kind]} NOT NULL, pinned_at {DOUBLE[kind]}"
    )
    return (
        f"CREATE TABLE pins ({columns}, PRIMARY KEY (instance_id, handler))",
        "CREATE INDEX pins_by_age ON pins (pinned_at)",
        "CREATE TABLE vendorsrv_version (version_num VARCHAR(32) NOT NULL, PRIMARY KEY (version_num))",
        "INSERT INTO vendorsrv_version (version_num) VALUES ('0001')",
    )


#: Its statements: the check of the schema, a look-up, a claim, the answer of a claim and a claim that is given up.
CHECK: Final = "SELECT version_num FROM vendorsrv_version"
LOOK_UP: Final = (
    "SELECT instance_id, handler, answer, owner, pinned_at FROM pins WHERE instance_id = '{0}' AND handler = '{1}'"
)
CLAIM: Final = "INSERT INTO pins (instance_id, handler, owner, claimed_at) VALUES ('{0}', '{1}', '{2}', {now})"
FULFIL: Final = (
    "UPDATE pins SET answer = {answer}, owner = NULL, pinned_at = {now} "
    "WHERE instance_id = '{0}' AND handler = '{1}' AND owner = '{2}' AND answer IS NULL"
)
RELEASE: Final = "DELETE FROM pins WHERE instance_id = '{0}' AND handler = '{1}' AND owner = '{2}' AND answer IS NULL"
NOW: Final = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "mariadb": "(CAST(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) AS double) / 1000000)",
}


def literal(kind: str, answer: bytes) -> str:
    """Return a literal of bytes."""
    return f"'\\x{answer.hex()}'::bytea" if kind == "postgresql" else f"x'{answer.hex()}'"


def unpacked(folder: Path) -> Path:
    """Return a folder with the package as it was."""
    peers.skip_if_unit()
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    peers.RAN["vendorsrv"] = "0.1.0"
    return folder


class FirstVersion(Process):
    """A server of 0.1.0 in a process of its own."""

    def __init__(self, code: Path, config: Path, port: int) -> None:
        self.port = port
        self.log = config.with_name("first.log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVE.replace("vendorsrv.server.serve", "vendorsrv.serve"), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=code,
                env={**os.environ, "PYTHONPATH": f"{code}:{ROOT}"},  # the tests' handlers, with its own Handler
            )


@contextmanager
def serving_first(code: Path, config: Path, port: int) -> Iterator[FirstVersion]:
    """Serve a configuration with 0.1.0, until the end of the context."""
    server = FirstVersion(code, config, port)
    try:
        wait_until(lambda: server.process.poll() is not None or server.answers(), 60)
        assert server.process.poll() is None, server.log.read_text()
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(60)
        finally:
            server.process.kill()
            server.process.wait()
