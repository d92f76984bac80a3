"""What all tests share."""

from __future__ import annotations

import pytest

from tests.support import real_peers as peers
from tests.support.fixtures import authenticator_of, clock, fake, house

__all__ = ["authenticator_of", "clock", "fake", "house"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End the report with the real peers that the tests ran against."""
    terminalreporter.write_line(peers.summary())
