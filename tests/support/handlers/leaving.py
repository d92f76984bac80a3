"""A handler that removes what it has left, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vendorsrv import Handler, ServiceUnavailable, VendordataRequest


class Leaving(Handler):
    """Prepares something, and notes in a file what it removes."""

    options = (
        cfg.StrOpt("notes", help="File for a line of each call."),
        cfg.StrOpt("kill_once", help="File; without it, it is created and the process is killed after the note."),
        cfg.StrOpt("fail_while", help="File; while it exists, calls fail."),
    )

    async def prepare(self, request: VendordataRequest) -> dict[str, Any]:
        """Return a name."""
        return {"name": request.hostname}

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        return request.prepared

    def deleted(self, instance_id: str, prepared: Any) -> None:
        """Note it, in a thread."""
        options = self.settings
        if options.fail_while and Path(options.fail_while).exists():
            raise ServiceUnavailable("the directory is down")
        if options.notes:
            with Path(options.notes).open("a") as notes:
                notes.write(json.dumps([instance_id, prepared]) + "\n")
        if options.kill_once and not Path(options.kill_once).exists():
            Path(options.kill_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
