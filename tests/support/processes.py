"""Servers in processes of their own, and which processes are there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support import real_peers as peers
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


@contextmanager
def listening(
    command: Sequence[str],
    log: Path,
    says: re.Pattern[str],
    environment: Mapping[str, str] | None = None,
    answers: Callable[[str], bool] = bool,
) -> Iterator[str]:
    """Run a server from the checkout, wait until it answers, and return its URL; it is ended afterwards.

    :param log: gets what it writes.
    :param says: finds the URL in that, as its first group.
    :param answers: whether it serves at this URL; to say the URL is enough by default.
    """
    peers.skip_if_unit()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )

    def serves() -> bool:
        assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
        found = says.search(log.read_text())
        return found is not None and answers(found[1])

    try:
        wait_until(serves, 60)
        yield says.findall(log.read_text())[0]
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with; that of a process that is gone is empty.

    Until a new process has begun its program this is its parent's, or empty: wait until it says that it is ready.
    """
    try:
        text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return {}
    return dict(entry.partition("=")[::2] for entry in text.split("\0"))


def processes_of(directory: Path) -> list[int]:
    """Return the processes that have this directory for temporary files."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if environment_of(pid).get("TMPDIR") == str(directory)]
