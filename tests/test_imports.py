"""What is imported when: nothing heavy before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import real_peers as peers
from tests.support.processes import ROOT
from tests.support.serving import write_config

#: Each takes 20 ms or more, or some MB.
HEAVY = {
    "alembic",
    "cryptography",
    "fastapi",
    "httpx",
    "jsonschema",
    "keystoneauth1",
    "keystonemiddleware",
    "openstack",
    "oslo_config",
    "oslo_policy",
    "pydantic",
    "requests",
    "rich",
    "sqlalchemy",
    "uvicorn",
}
HELP = "import sys; sys.argv[1:] = ['--help']\nfrom vendorsrv.cli.main import main\nmain(standalone_mode=False)"
CHECKED = (
    "from vendorsrv.server.serve import check_apart\n"
    "assert not check_apart({path!r}).errors\n"
    "import vendorsrv.server.app"
)


def imported(statement: str) -> set[str]:
    """The packages that are imported in a new interpreter that has executed a statement."""
    code = f"{statement}\nprint(*{{name.partition('.')[0] for name in __import__('sys').modules}})"
    peers.skip_if_unit()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement", ["import vendorsrv", "import vendorsrv.cli.main", HELP], ids=["package", "cli", "help"]
)
def test_what_does_nothing_imports_nothing_heavy(statement: str) -> None:
    """The package, the command, and its help."""
    assert set() == imported(statement) & HEAVY


def test_a_server_imports_only_what_it_uses(tmp_path: Path) -> None:
    """One that pins nothing, has no TLS and no proxy: before its workers are forked, and so in them."""
    path = str(write_config(tmp_path, port=9090))
    unused = {"alembic", "httpx", "openstack", "rich", "sqlalchemy"}
    assert set() == imported(CHECKED.format(path=path)) & unused


def test_no_code_of_a_vendor_stays_in_the_supervisor(tmp_path: Path) -> None:
    """The handlers were loaded by the checks, in another process: a reload has to find their code as it is then."""
    path = str(write_config(tmp_path, port=9090))
    assert "tests" not in imported(CHECKED.format(path=path))
