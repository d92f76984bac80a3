"""What all tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import real_peers as peers
from tests.support.fixtures import authenticator_of, clock, fake, house

__all__ = ["authenticator_of", "clock", "fake", "house"]

#: All tests there need a real peer.
PEERS: Final = Path(__file__).with_name("peers")
#: These need a whole OpenStack, which is not installed for the others.
CLOUD: Final = Path(__file__).with_name("cloud")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--unit`` and ``--cloud``."""
    parser.addoption("--unit", action="store_true", help="run unit tests only: those that ask for no real peer")
    parser.addoption("--cloud", action="store_true", help="run tests/cloud too (make test-cloud)")


def pytest_configure(config: pytest.Config) -> None:
    """Note which tests are wanted before the first module is imported."""
    peers.Wanted.peers = not config.getoption("--unit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import nothing of tests/peers when only unit tests are wanted, and tests/cloud only when they are wanted."""
    is_left_out = {PEERS: not peers.Wanted.peers, CLOUD: not config.getoption("--cloud")}
    return is_left_out.get(collection_path) or None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker of pytest-xdist report the peers of its tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peers"] = peers.RAN


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the peers of a worker that has ended to those of the run; a worker that crashed reports none."""
    peers.RAN.update(getattr(node, "workeroutput", {}).get("peers", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End the report with the real peers that the tests ran against."""
    terminalreporter.write_line(peers.summary())
