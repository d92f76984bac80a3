"""The command ``vendorsrv new``."""

from __future__ import annotations

import shlex

import click

from vendorsrv.errors import ConfigError
from vendorsrv.scaffold.job import names
from vendorsrv.scaffold.project import install_command, write_package


@click.command()
@click.argument("name")
@click.option("--directory", metavar="DIR", help="The new directory, ./NAME by default; it must not exist.")
@click.option("--like", metavar="JOB", help=f"Begin as one of vendorsrv's examples: {', '.join(names())}.")
def new(name: str, directory: str | None, like: str | None) -> None:
    """Create a handler package with tests that pass.

    NAME is the handler's name: its segment of the URL and its section of the configuration.
    """
    try:
        written = write_package(name, directory, like)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"\nNext: cd {shlex.quote(directory or name)} && {install_command()} && pytest")
