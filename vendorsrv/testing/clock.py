"""A clock that is moved by hand."""

from __future__ import annotations


class ManualClock:
    """A clock that stands still until the test advances it; for every parameter called ``clock``.

    :ivar now: the time, in seconds; may be set as well.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += seconds
