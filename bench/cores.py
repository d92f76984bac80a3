"""Pin processes to a core, so that wrk and the contenders do not compete for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: The contenders' core: an index into the cores that this process may use.
CONTENDER: Final = 0
#: The core of wrk.
DRIVER: Final = 1


@contextmanager
def on_core(index: int) -> Iterator[None]:
    """Run processes that this thread starts meanwhile on one core; without effect if there are too few cores."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) > index and len(allowed) > 1:
        os.sched_setaffinity(0, {sorted(allowed)[index]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
