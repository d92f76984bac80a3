"""``python -m tests.support.cloud``: the command, and what Ctrl-C and SIGTERM do, from the first import on."""

from __future__ import annotations

import signal
import sys

STOPPING = (signal.SIGINT, signal.SIGTERM)


def stop(number: int, _: object) -> None:
    """Unwind the main thread, once: a second signal must not interrupt what cleans up."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


for each in STOPPING:
    signal.signal(each, stop)

from tests.support.cloud.command import main  # noqa: E402

main()
