"""The limit of open files is checked against the connections that the server may have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checking import GOOD, changed, findings, write
from tests.support.processes import ROOT
from tests.support.real_peers import skip_if_unit

SMALL = (
    "1: warning: [vendorsrv] max_connections: with at most 1024 open files a worker has 768 connections; "
    "allow 4096 files (LimitNOFILE= of the unit, ulimit -Hn of a shell)"
)


def test_too_few_files_for_the_connections_is_a_warning(tmp_path: Path) -> None:
    """More connections than the system has files for are a warning, which names the files that are needed."""
    (found,) = findings(tmp_path, changed(GOOD, {"port = 9090": "max_connections = 1600000000"}))
    assert found.startswith("vendorsrv.conf:3: warning: [vendorsrv] max_connections: with at most ")
    assert found.endswith("; allow 2133333334 files (LimitNOFILE= of the unit, ulimit -Hn of a shell)")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (1024, SMALL),
        (4096, None),
    ],
)
def test_a_small_limit_of_files_is_a_warning(tmp_path: Path, files: int, expected: str | None) -> None:
    """A process with a small hard limit of files warns, and one with the kernel's default of 4,096 does not."""
    skip_if_unit()
    path = write(tmp_path / "vendorsrv.conf", GOOD)
    script = f'ulimit -n {files} && exec "$@"'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "vendorsrv", "check", "--config-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    lines = [each for each in done.stdout.splitlines() if "max_connections" in each]
    assert ([f"{path}:{expected}"] if expected else []) == lines, done.stderr
