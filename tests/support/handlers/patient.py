"""A handler that takes as long as the test wants."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from oslo_config import cfg

from vendorsrv import Handler, VendordataRequest


class Patient(Handler):
    """Report that it has begun, and answer when it may."""

    options: ClassVar = (cfg.StrOpt("directory", required=True),)

    async def handle(self, request: VendordataRequest) -> object:
        """Wait for a file."""
        directory = Path(self.settings.directory)
        (directory / "begun").touch()
        while not (directory / "go on").exists():  # noqa: ASYNC110 - another process makes the file
            await asyncio.sleep(0.01)
        return "finished"
