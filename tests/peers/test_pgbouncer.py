"""Pins behind a real PgBouncer in transaction mode, where each statement may meet another session of PostgreSQL."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support import real_peers as peers
from tests.support.databases import Database, database
from tests.support.pin_racing import boot, race
from tests.support.pin_stores import make_table, new_instance
from tests.support.serving import free_port
from tests.support.waiting import wait_until

#: Fewer sessions than the processes have connections, so that they change hands all the time.
CONFIGURATION: Final = """\
[databases]
* = host={host} port={at} {user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
logfile = {folder}/log
pidfile = {folder}/pid
"""
#: It refuses to run as root.
AS_NOBODY: Final = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
PROCESSES = 3
INSTANCES = 60


@contextmanager
def pgbouncer(behind: Database) -> Iterator[str]:
    """Run one before a database, and give the database's URL through it."""
    peers.require_program("pgbouncer")
    with TemporaryDirectory() as folder:  # those of pytest are closed to other users
        yield from run_pgbouncer(Path(folder), behind)


def run_pgbouncer(folder: Path, behind: Database) -> Iterator[str]:
    """Run one with its files in a folder."""
    folder.chmod(0o777)
    port = free_port()
    user = f"user={behind.at.username}" + (f" password={behind.at.password}" if behind.at.password else "")
    (folder / "ini").write_text(
        CONFIGURATION.format(host=behind.host, at=behind.port, user=user, port=port, folder=folder)
    )
    program = [*(AS_NOBODY if os.geteuid() == 0 else ()), "pgbouncer", str(folder / "ini")]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def listens() -> bool:
        assert process.poll() is None, (folder / "out").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_until(listens)
        yield behind.url_by(port)
    finally:
        process.kill()
        process.wait()


def test_pins_behind_pgbouncer_have_one_answer_and_no_error(tmp_path: Path) -> None:
    """With statement_cache_size=0 three processes cause one run for each instance, one answer, and no error."""
    instances = [new_instance() for _ in range(INSTANCES)]
    runs = tmp_path / "runs"
    with database("postgresql") as behind, pgbouncer(behind) as through:
        url = f"{through}?statement_cache_size=0"
        make_table(url)
        answers: list[Sequence[set[bytes]]] = race(PROCESSES, boot, url, instances, str(runs))
        assert [] == [answer for answer in answers if isinstance(answer, str)]
        of_each = [set().union(*found) for found in zip(*answers, strict=True)]
        assert (INSTANCES, {1}) == (len(of_each), {len(found) for found in of_each})
        assert sorted(instances) == sorted(runs.read_text().split())
