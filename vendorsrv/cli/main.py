"""The ``vendorsrv`` command."""

from __future__ import annotations

import gc
import json
import sys
from importlib import import_module
from typing import Any, Final

import click

from vendorsrv.errors import ConfigError

#: Where each command is; only the one that is called is imported.
COMMANDS: Final = {
    "call": "call",
    "check": "check",
    "config": "handlers",
    "contract": "contract",
    "db": "pins",
    "handlers": "handlers",
    "new": "new",
    "pins": "pins",
    "render": "render",
    "serve": "main",
    "demo": "main",
}
#: What each does, as the list of commands has it; to read it off the commands would import all of them.
SUMMARIES: Final = {
    "call": "Ask a vendordata server as Nova does.",
    "check": "Find what is wrong with a configuration.",
    "config": "Print a sample configuration.",
    "contract": "Hold any vendordata server to what Nova needs.",
    "db": "Look after the database of the pins.",
    "demo": "Run everything for real, on this machine.",
    "handlers": "Show the enabled handlers and what they declare.",
    "new": "Write a new handler package, with its test.",
    "pins": "Look at pinned answers, forget, move, encrypt them.",
    "render": "Show what an instance's cloud-init would do.",
    "serve": "Serve until SIGTERM or Ctrl-C.",
}


class Failure(click.ClickException):
    """The command cannot do its work: its reasons, a line each, on standard error; exit status 1."""

    def show(self, file: Any = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"vendorsrv: {line}", file=file, err=True)


class Commands(click.Group):
    """A group that imports a command when it is asked for, and prints every ConfigError as a line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or give None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{__package__}.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for ``--help``."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was called."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise Failure(str(error)) from None


@click.group(cls=Commands)
@click.version_option(package_name="vendorsrv")
def main() -> None:
    """Serve dynamic vendordata to OpenStack Nova."""


@click.command()
@click.option("--config-file", required=True, metavar="FILE", help="The server's INI file.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that serve; overrides [vendorsrv] workers.")
def serve(config_file: str, workers: int | None) -> None:
    """Serve until SIGTERM or Ctrl-C; SIGHUP reloads the configuration.

    The same checks as those of `vendorsrv check` run first, and errors among them are refused.
    """
    gc.disable()  # what is imported now stays; looking through it again and again takes a fifth of the start
    from vendorsrv.server.serve import check_apart, serve

    errors, pins = check_apart(config_file)
    if errors:
        raise Failure("\n".join(map(str, errors)))
    serve(config_file, workers, pins=pins)


@click.command()
@click.option("--once", is_flag=True, help="Stop after the two boots.")
@click.option("--json", "as_json", is_flag=True, help="Print only what the two instances see, as one JSON object.")
def demo(once: bool, as_json: bool) -> None:
    """Run everything for real: a Keystone, the mail-server example, and two boots as Nova asks for them."""
    from vendorsrv.demo.run import run_demo

    def say(text: str) -> None:
        if not as_json:
            click.echo(f"{text}\n")

    def booted(seen: dict[str, object]) -> None:
        if as_json:
            click.echo(json.dumps(seen))

    say("Starting a real Keystone on SQLite; that takes some ten seconds.")
    try:
        run_demo(say, booted, once=once)
    except KeyboardInterrupt:
        say("Stopped; nothing is left running.")
        sys.exit(130)
