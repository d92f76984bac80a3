"""The option that most commands have."""

from __future__ import annotations

import click

#: As OpenStack's services take it: a later file overrides an earlier one.
config_file = click.option(
    "--config-file",
    required=True,
    multiple=True,
    metavar="FILE",
    help="The server's INI file; of several, the later ones override the earlier ones.",
)
