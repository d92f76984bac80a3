"""The command ``vendorsrv new``."""

from __future__ import annotations

import shlex

import click

from vendorsrv.errors import ConfigError
from vendorsrv.scaffold.project import write_package


@click.command()
@click.argument("name")
@click.option("--directory", metavar="DIR", help="Where to; ./NAME by default. It must not exist.")
def new(name: str, directory: str | None) -> None:
    """Write a new handler package, with a test that passes at once.

    NAME is the handler's: the URL's segment and the configuration's section.
    """
    try:
        written = write_package(name, directory)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"\nNow: cd {shlex.quote(directory or name)} && pip install -e '.[test]' && pytest")
