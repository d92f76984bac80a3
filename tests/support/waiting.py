"""Waiting for what happens in another process, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; it is asked 50 times a second.

    :param seconds: a safety net for tests that fail, far above what a busy machine needs.

    :raises AssertionError: it did not hold within this many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds:g} seconds"
        time.sleep(0.02)
