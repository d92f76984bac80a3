"""A second pinned handler, for throughput; the other one counts its runs."""

from __future__ import annotations

from bench.handlers import Pinned


class Bench(Pinned):
    """The same handler under another name."""
