"""Ten more handlers, for measuring the cost of one."""

from __future__ import annotations

from typing import Final

from bench.handlers import Trivial

MORE: Final = [f"More{number}" for number in range(1, 11)]

for name in MORE:
    globals()[name] = type(name, (Trivial,), {"__module__": __name__, "__doc__": "One more."})
