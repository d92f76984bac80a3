"""The pinned handler that hosts are driven with, beside the one that counts its runs."""

from __future__ import annotations

from bench.handlers import Pinned


class Bench(Pinned):
    """The same under another name."""
