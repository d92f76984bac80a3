"""``vendorsrv demo``: everything for real, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import pytest

from tests.peers.conftest import NO_KEYSTONE
from tests.support.processes import processes_of
from tests.support.real_peers import require
from tests.support.waiting import wait_until

require("keystone", NO_KEYSTONE)

BIN: Final = Path(sys.executable).parent
BOOTS: Final = {
    "mail-admin": {
        "mailserver": {
            "role": "mail-server",
            "domain": "example.org",
            "hostname": "mx1.example.org",
            "relayhost": "relay.example.org",
        }
    },
    "member": {"mailserver": {}},
}
#: The state of a socket in /proc/net/tcp.
LISTEN: Final = "0A"
#: Seconds that a demo may take to serve; it takes about ten.
STARTING: Final = 300
#: How a demo can be ended, and its exit status then.
ENDS: Final[Mapping[signal.Signals, int]] = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}


class Demo:
    """``vendorsrv demo`` in a terminal of its own, as a context manager.

    :param directory: for its output, and for temporary files of it and of all that it starts.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self.output, self.errors = directory / "stdout", directory / "stderr"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.command = [str(BIN / "vendorsrv"), "demo", *options]

    def __enter__(self) -> Self:
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(60)

    def invitation(self) -> str:
        """Wait until it serves, and give the command line that it asks to try next."""
        wait_until(lambda: self.invitations() or self.process.poll() is not None, STARTING)
        assert self.invitations(), f"the demo ended: {self.errors.read_text()[-2000:]}"
        return self.invitations()[0]

    def invitations(self) -> list[str]:
        """The command lines that it has printed so far."""
        return re.findall(r"\n  (OS_AUTH_URL=.* vendorsrv call .*)\n", self.output.read_text())

    def end(self, number: signal.Signals) -> int:
        """End it, as Ctrl-C does the whole foreground of its terminal, and give the exit status."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(120)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[signal.Signals, Demo]]:
    """Three demos that serve, side by side, one for each end."""
    with ExitStack() as stack:
        demos = {number: Demo(tmp_path_factory.mktemp(number.name)) for number in ENDS}
        for demo in demos.values():
            stack.enter_context(demo)
        yield demos


def called(line: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a printed command line, as a shell would in which the command is found."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["env", *shlex.split(line), *options],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=STARTING,
        check=False,
    )


@pytest.fixture(scope="module")
def invited(demos: dict[signal.Signals, Demo]) -> subprocess.CompletedProcess[str]:
    """What the command line that one of them prints gives, before any of them is ended."""
    return called(demos[signal.SIGTERM].invitation(), "--json")


def listeners(url: str) -> list[str]:
    """Return the inodes of the sockets that listen there: whoever takes the port later has another one."""
    port = urlsplit(url).port
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == LISTEN]


def test_once(tmp_path: Path) -> None:
    """With --once --json two boots are all that it prints, it ends well, and nothing stays."""
    with Demo(tmp_path, "--once", "--json") as demo:
        assert 0 == demo.process.wait(STARTING)
    printed: Any = json.loads(demo.output.read_text())
    assert BOOTS == printed
    assert list(BOOTS) == list(printed)
    assert "" == demo.errors.read_text()
    wait_until(lambda: not processes_of(demo.temporary))
    assert [] == list(demo.temporary.iterdir())


def test_the_invitation(invited: subprocess.CompletedProcess[str]) -> None:
    """The printed command line works, and shows another mail server."""
    assert 0 == invited.returncode
    assert "mx2.example.org" in invited.stdout
    assert "" == invited.stderr


@pytest.mark.usefixtures("invited")
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_nothing_stays_behind(demos: dict[signal.Signals, Demo], number: signal.Signals) -> None:
    """However a serving demo ends: Keystone, server and files are gone, and there is no traceback."""
    demo = demos[number]
    url = demo.invitation().rpartition(" ")[2]
    [listener] = listeners(url)
    assert ENDS[number] == demo.end(number)
    wait_until(lambda: not processes_of(demo.temporary))
    assert [] == list(demo.temporary.iterdir())
    assert listener not in listeners(url)
    assert "Traceback" not in demo.errors.read_text()
