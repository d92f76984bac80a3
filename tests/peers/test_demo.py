"""``vendorsrv demo``: what it prints, the command line that it suggests, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

import pytest

from tests.peers.conftest import NO_KEYSTONE
from tests.support.processes import ROOT, processes_of
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
    """``vendorsrv demo`` in a session of its own, started in the checkout; a context manager.

    :param directory: for its output, and for the temporary files of all its processes.
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
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(60)

    def suggestion(self) -> str:
        """Wait until it serves, and return the command line that it suggests."""
        wait_until(lambda: self.suggestions() or self.process.poll() is not None, STARTING)
        assert self.suggestions(), f"the demo ended: {self.errors.read_text()[-2000:]}"
        return self.suggestions()[0]

    def suggestions(self) -> list[str]:
        """Return the command lines that it has printed so far."""
        return re.findall(r"\n  (.* call .*)\n\nCtrl-C here .* log:\n", self.output.read_text())

    def end(self, number: signal.Signals) -> int:
        """Send a signal, SIGINT to all its processes as Ctrl-C does; return the exit status."""
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(120)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[signal.Signals, Demo]]:
    """Three demos that serve at the same time, one for each signal."""
    with ExitStack() as stack:
        demos = {number: Demo(tmp_path_factory.mktemp(number.name)) for number in ENDS}
        for demo in demos.values():
            stack.enter_context(demo)
        yield demos


class Pasted(NamedTuple):
    """What the suggested command line did in a fresh shell, and the demo's log before and after."""

    result: subprocess.CompletedProcess[str]
    log_before: str
    log_after: str


@pytest.fixture(scope="module")
def pasted(demos: dict[signal.Signals, Demo]) -> Pasted:
    """Paste the line of one demo into a fresh shell in the checkout, before any of the demos is ended."""
    demo = demos[signal.SIGTERM]
    line, before = demo.suggestion(), demo.errors.read_text()
    result = subprocess.run(
        ["env", "-i", "sh", "-c", line],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STARTING,
        check=False,
    )
    wait_until(lambda: "mailserver" in demo.errors.read_text())
    return Pasted(result, before, demo.errors.read_text())


def listeners(url: str) -> list[str]:
    """Return the inodes of the sockets that listen there: whoever takes the port later has another one."""
    port = urlsplit(url).port
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == LISTEN]


def test_once(tmp_path: Path) -> None:
    """``vendorsrv demo --once --json`` prints the two boots and nothing else, and leaves nothing behind."""
    with Demo(tmp_path, "--once", "--json") as demo:
        assert 0 == demo.process.wait(STARTING)
    printed: Any = json.loads(demo.output.read_text())
    assert BOOTS == printed
    assert list(BOOTS) == list(printed)
    assert "" == demo.errors.read_text()
    wait_until(lambda: not processes_of(demo.temporary))
    assert [] == list(demo.temporary.iterdir())


def test_the_suggested_line_works_in_a_fresh_shell(pasted: Pasted) -> None:
    """The suggested command line, pasted into a shell without any environment, boots another mail server."""
    assert 0 == pasted.result.returncode, pasted.result.stderr
    assert "mx2.example.org" in pasted.result.stdout


def test_the_log_follows_its_heading(pasted: Pasted) -> None:
    """The server logs nothing before the heading "The server's log", and the user's request after it."""
    assert "" == pasted.log_before
    assert "mailserver" in pasted.log_after


@pytest.mark.usefixtures("pasted")
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_nothing_stays_behind(demos: dict[signal.Signals, Demo], number: signal.Signals) -> None:
    """A demo that is ended says that it stops, unless it is killed, and leaves no process, no file and no traceback."""
    demo = demos[number]
    url = demo.suggestion().rpartition(" ")[2]
    [listener] = listeners(url)
    assert ENDS[number] == demo.end(number)
    assert (number != signal.SIGKILL) == ("\nStopping the server and Keystone.\n" in demo.output.read_text())
    wait_until(lambda: not processes_of(demo.temporary))
    assert [] == list(demo.temporary.iterdir())
    assert listener not in listeners(url)
    assert "Traceback" not in demo.errors.read_text()
