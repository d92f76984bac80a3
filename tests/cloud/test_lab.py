"""The lab itself: what it says when it cannot start, and that nothing is left behind whenever it is stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.cloud.cloud import Cloud
from tests.support.cloud.kept import Kept, locked
from tests.support.cloud.service import PATIENCE, ROOT
from tests.support.cloud.setup import PORTS
from tests.support.cloud.stores import Stores
from tests.support.processes import processes_of
from tests.support.waiting import wait_until

CLOSED: Final = "127.0.0.1:1"
WITHOUT_MARIADB: Final = {"VENDORSRV_TEST_MARIADB": f"mysql+pymysql://root@{CLOSED}/mysql"}


class Run:
    """``make cloud`` in a folder; its processes are known by where they put temporary files.

    :param options: of the command.
    """

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.folder, self.temporary = folder / "cloud", folder / "tmp"
        self.temporary.mkdir()
        self.output = folder / "output"
        command = [sys.executable, "-m", "tests.support.cloud", "--folder", str(self.folder), *options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary), **variables},
            )

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def wait_for(self, line: str) -> None:
        """Return when it has printed this."""

        def is_there() -> bool:
            assert self.process.poll() is None, self.text
            return line in self.text

        wait_until(is_there, PATIENCE)

    def end(self) -> tuple[int, str]:
        """Return its status and its last line when it has ended."""
        status = self.process.wait(PATIENCE)
        return status, self.text.splitlines()[-1]

    def stop(self) -> int:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@contextmanager
def running(folder: Path, *options: str, **variables: str) -> Iterator[Run]:
    """Run it, and remove its cloud afterwards."""
    run = Run(folder, *options, **variables)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()
        wait_until(lambda: not processes_of(run.temporary), PATIENCE)
        Cloud(run.folder).remove()


def virtual_hosts() -> str:
    """Return RabbitMQ's virtual hosts, one a line."""
    command = ["rabbitmqctl", "-q", "list_vhosts"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def left_behind(run: Run) -> list[str]:
    """Return what there is of a cloud that was never complete."""
    stores = Stores(run.folder)
    return [
        *(f"process {pid}" for pid in processes_of(run.temporary)),
        *(path.name for path in run.folder.iterdir() if path.name not in {"lock", "logs"}),
        *(line for line in virtual_hosts().splitlines() if line == stores.name),
        *stores.databases(),
    ]


def process_of(run: Run, command: str) -> int:
    """Return the process whose command line has this; 0 if there is none."""
    with suppress(FileNotFoundError):  # one of them has ended
        for pid in processes_of(run.temporary):
            if command in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
    return 0


def test_without_rabbitmq(tmp_path: Path) -> None:
    """It says where it looked, and how to start one."""
    with running(tmp_path, VENDORSRV_TEST_RABBITMQ=f"rabbit://guest:guest@{CLOSED}/") as run:
        said = (
            f"The cloud failed: RabbitMQ does not answer at {CLOSED} (Connection refused): start it, as by `service "
            "rabbitmq-server start`, or name another in VENDORSRV_TEST_RABBITMQ"
        )
        assert (1, said) == run.end()
        assert [] == left_behind(run)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """It names the port, and what it is for."""
    folder = tmp_path / "cloud"
    with locked(folder), socket.create_server(("127.0.0.1", 0)) as taken:
        stores = Stores(folder)
        kept = Kept.new(stores, PORTS)
        kept.ports["glance"] = taken.getsockname()[1]
        kept.save(folder)
    with socket.create_server(("127.0.0.1", kept.ports["glance"])), running(tmp_path) as run:
        said = (
            f"The cloud failed: port {kept.ports['glance']} of glance is taken: stop the process that has it, or "
            f"remove the cloud in {folder} (--remove), and the next one has other ports"
        )
        assert (1, said) == run.end()


def test_a_folder_that_is_taken(cloud: Cloud, tmp_path: Path) -> None:
    """A folder has one cloud at most."""
    command = [sys.executable, "-m", "tests.support.cloud", "--folder", str(cloud.folder)]
    for options in ([], ["--remove"]):
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (
            1,
            f"The cloud failed: a cloud runs in {cloud.folder} already: stop it, or name another folder (--folder)\n",
        ) == (done.returncode, done.stderr)


def test_a_service_that_dies(tmp_path: Path) -> None:
    """It names the service, its last words and its log, and nothing is left."""
    with running(tmp_path) as run:
        log = run.folder / "logs/nova-scheduler.log"
        wait_until(lambda: process_of(run, "run_nova\0scheduler"), PATIENCE)
        os.kill(process_of(run, "run_nova\0scheduler"), signal.SIGKILL)
        status, line = run.end()
        assert 1 == status
        assert re.fullmatch(rf"The cloud failed: nova-scheduler ended with status -9: .* \(log: {log}\)", line)
        assert [] == left_behind(run)


@pytest.mark.parametrize("moment", ["Setting up", "keystone answers\n", "databases are made\n", "nova-api answers\n"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """Whenever it is stopped while it is set up, no process, file, virtual host or database is left."""
    with running(tmp_path) as run:
        run.wait_for(moment)
        run.process.send_signal(signal.SIGINT)
        assert 130 == run.stop()
        assert "Traceback" not in run.text
        assert [] == left_behind(run)


def test_a_killed_lab_takes_its_services_with_it(tmp_path: Path) -> None:
    """No process outlives it, and what it could not remove goes with `--remove`."""
    with running(tmp_path) as run:
        run.wait_for("nova-api answers\n")
        run.process.kill()
        wait_until(lambda: not processes_of(run.temporary), PATIENCE)
        run.process.wait()
        Cloud(run.folder).remove()
        assert [] == left_behind(run)


def test_another_cloud_beside_it(cloud: Cloud, tmp_path: Path) -> None:
    """`make cloud`, on SQLite here: two servers, a line to try, Ctrl-C, and the same cloud again."""
    with running(tmp_path, **WITHOUT_MARIADB) as run:
        run.wait_for("Ctrl-C stops the cloud.")
        alice, bob = (text.split(" s  ")[0] for text in re.split(r"-1 sees in vendor_data2.json:\n", run.text)[1:])
        assert ('"hostname": "alice-1.example.org"' in alice, '"mailserver": {}' in bob) == (True, True)
        (line,) = re.findall(r"^  (OS_CLIENT_CONFIG_FILE=.*)$", run.text, re.MULTILINE)
        subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, check=True, timeout=PATIENCE)  # noqa: S602
        run.wait_for('"hostname": "mx2.example.org"')
        assert 130 == run.stop()
        assert [] == processes_of(run.temporary)
        again = subprocess.run(
            [sys.executable, "-m", "tests.support.cloud", "--folder", str(run.folder), "--once"],
            cwd=ROOT,
            env={**os.environ, **WITHOUT_MARIADB},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Starting a cloud with sqlite" in again.stdout
        assert '"hostname": "alice-1.example.org"' in again.stdout
    cloud.check()
