"""Handlers whose answers last, and tell one run from another."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from vendorsrv import Handler, OnError, VendordataRequest


class Scripted(Handler):
    """Do what a test sets, in this process: each run is given its number."""

    runs = 0

    async def handle(self, request: VendordataRequest) -> Any:
        """Count the run, and call what is set."""
        self.runs += 1
        return await self.script(self.runs)

    async def script(self, run: int) -> Any:
        """Return the number of the run, unless a test says otherwise."""
        return {"run": run}


class Plain(Handler):
    """The same in a thread."""

    runs = 0
    script: Callable[[int], Any] = staticmethod(lambda run: {"run": run})

    def handle(self, request: VendordataRequest) -> Any:
        """Count the run, and call what is set."""
        self.runs += 1
        return self.script(self.runs)


class Cached(Scripted):
    """Kept for a minute."""

    cache_for = 60.0


class Stale(Cached):
    """Kept for ever, for bad times."""

    on_error = OnError.STALE


class Empty(Scripted):
    """Nobody needs it."""

    on_error = OnError.EMPTY


class Unique(Handler):
    """Never the same answer twice; each run leaves a file that is named after its instance and its answer.

    A run does not end while there is a file ``paused``.
    """

    options = (
        cfg.StrOpt("runs", required=True, help="Directory for a file from each run."),
        cfg.FloatOpt("takes", default=0.0, help="Seconds that a run takes, at least."),
    )

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Leave the file, take the time, and answer."""
        answer = secrets.token_hex(16)
        os.close(os.open(f"{self.settings.runs}/{request.instance_id}.{answer}", os.O_CREAT | os.O_EXCL))
        await asyncio.sleep(self.settings.takes)
        paused = f"{self.settings.runs}/paused"
        while os.path.exists(paused):  # noqa: ASYNC110, ASYNC240 - the test is another process
            await asyncio.sleep(0.01)
        return {"made": answer}


class Pinned(Unique):
    """The first answer holds."""

    pin = True


class PinnedOrEmpty(Pinned):
    """The first answer holds, and without one ``{}`` will do."""

    on_error = OnError.EMPTY


class Shared(Unique):
    """Kept for a minute, in the store that all workers share."""

    cache_for = 60.0
