"""The errors with which a command ends."""

from __future__ import annotations

from typing import Any

import click


class Failure(click.ClickException):
    """A command cannot do its work: each line of the message goes to standard error; the exit status is 1."""

    def show(self, file: Any = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"vendorsrv: {line}", file=file, err=True)


class InputError(Failure):
    """What a command was given cannot be used, so that there is no result: the exit status is 2."""

    exit_code = 2
