"""The commands ``vendorsrv listen`` and ``vendorsrv lifecycle …``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vendorsrv.cli.options import config_file
from vendorsrv.settings import Settings
from vendorsrv.telemetry.logs import set_up_logging


@click.command()
@config_file
def listen(config_file: Sequence[str]) -> None:
    """Read Nova's notifications, and call handlers for instances that are gone, until SIGTERM or Ctrl-C."""
    from vendorsrv.lifecycle.service import listen

    settings = Settings.from_file(config_file)
    set_up_logging(settings.conf)
    listen(settings)
