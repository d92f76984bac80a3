"""Which core a process runs on, so that who drives and who is driven do not take it from each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: The place, among the cores that we may use, of the one that contenders have.
CONTENDER: Final = 0
#: And of the one that has wrk.
DRIVER: Final = 1


@contextmanager
def on_core(place: int) -> Iterator[None]:
    """Let the processes that are started meanwhile, by this thread, have one core; harmless where there is only one."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) > place and len(allowed) > 1:
        os.sched_setaffinity(0, {sorted(allowed)[place]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
