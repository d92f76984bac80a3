"""What known facts add to a request: a handler that needs all of them, beside the same one that needs none."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvloop

from bench.effort import EFFORT
from bench.goals import NO_GOAL, at_most
from bench.hot_path import quickest, request_call, server
from bench.measure import Cost
from tests.support.serving import BODY
from vendorsrv.testing import FakeCloud

HANDLERS: Final = {"without facts": "Trivial", "with known facts": "Located"}
#: The most that a request with known facts may take, relative to one without.
GOAL: Final = 1.1
#: With an image, and as long as before.
WITH_IMAGE: Final = BODY.replace(b'"image-id": ""', b'"image-id": "img-1"').replace(b'"web-1"', b'""')


async def measure() -> dict[str, Cost]:
    """Measure a request of each handler, in turn."""
    names = ", ".join(f"bench.handlers:{name}" for name in HANDLERS.values())
    with TemporaryDirectory() as folder, FakeCloud() as cloud:
        sections: dict[str, Any] = {
            "service_account": cloud.options,
            "facts": {"keep_for": 3600},
            "vendorsrv": {"handlers": names},
        }
        async with server(Path(folder), **sections) as (application, token):
            bodies = itertools.repeat(WITH_IMAGE)
            calls = {
                what: request_call(application, f"/{name.lower()}", token, bodies) for what, name in HANDLERS.items()
            }
            for call in calls.values():
                await call()
            await asyncio.sleep(0.1)
            found = await quickest(calls, 4 * EFFORT.get().rounds)
            assert {"token": 1, "server": 1, "image": 1, "project": 1} == cloud.asked
            return found


def report() -> list[dict[str, object]]:
    """Return a row for each handler: the CPU time of a request, and the ratio."""
    costs = uvloop.run(measure())
    without, known = costs.values()
    ratio = round(known.median / without.median, 3)
    return [
        *(
            {
                "what": f"µs of a request {what}",
                "value": cost.median,
                "spread": f"{cost.lowest}-{cost.highest}",
                **NO_GOAL,
            }
            for what, cost in costs.items()
        ),
        {"what": "a request with known facts, in requests without", "value": ratio, **at_most(ratio, GOAL)},
    ]
