"""The ``vendorsrv`` command."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from vendorsrv.cli.failure import Failure
from vendorsrv.cli.options import config_file
from vendorsrv.errors import ConfigError

#: The module and the summary of each command; only the module of the called one is imported.
COMMANDS: Final = {
    "call": ("call", "Call a vendordata server as Nova does."),
    "check": ("check", "Check a configuration before it is used."),
    "config": ("handlers", "Print a sample configuration."),
    "contract": ("contract", "Check any vendordata server against what Nova needs."),
    "db": ("pins", "Manage the database of pins."),
    "demo": ("main", "Run a Keystone, a server and two boots on this machine."),
    "handlers": ("handlers", "Show the enabled handlers and their settings."),
    "lifecycle": ("lifecycle", "Show what is left to do for deleted instances, and remove a queue."),
    "listen": ("lifecycle", "Read Nova's notifications, and call handlers for deleted instances."),
    "new": ("new", "Create a handler package with a test."),
    "pins": ("pins", "List, forget, export, import and re-encrypt pins."),
    "render": ("render", "Show what an instance's cloud-init would get."),
    "schema": ("schema", "Print the JSON Schema of a handler's answer."),
    "serve": ("main", "Run the server."),
}


class Commands(click.Group):
    """A group that imports a command when it is called, and turns a ConfigError into a Failure."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it, or None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise Failure(str(error)) from None


@click.group(cls=Commands)
@click.version_option(package_name="vendorsrv")
def main() -> None:
    """Serve dynamic vendordata to OpenStack Nova."""


@click.command()
@config_file
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes; overrides [vendorsrv] workers.")
def serve(config_file: Sequence[str], workers: int | None) -> None:
    """Run the server until SIGTERM or Ctrl-C; SIGHUP reloads the configuration.

    The checks of `vendorsrv check` run first; with an error among their findings the server does not start.
    """
    gc.disable()  # imported objects stay alive; collecting while they are imported takes a fifth of the start
    from vendorsrv.server.serve import check_apart, serve

    errors, pins = check_apart(config_file)
    if errors:
        raise Failure("\n".join(map(str, errors)))
    serve(config_file, workers, pins=pins)


@click.command()
@click.option("--once", is_flag=True, help="Stop after the two boots.")
@click.option("--json", "as_json", is_flag=True, help="Print only what the two instances get, as one JSON object.")
def demo(once: bool, as_json: bool) -> None:
    """Run a real Keystone, a server with the mail-server example, and two boots as Nova asks for them."""
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
