"""A clock that is moved by hand."""

from __future__ import annotations


class ManualClock:
    """Seconds that pass when the test says so; give it to whatever takes a ``clock``.

    :ivar now: the time, in seconds; may be set as well.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Give the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let some time pass."""
        self.now += seconds
