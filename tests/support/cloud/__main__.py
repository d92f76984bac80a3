"""``python -m tests.support.cloud``: the command, and what Ctrl-C and SIGTERM do, from the first import on."""

from __future__ import annotations

import signal
import sys

for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, lambda number, _: sys.exit(128 + number))

from tests.support.cloud.command import main  # noqa: E402

main()
