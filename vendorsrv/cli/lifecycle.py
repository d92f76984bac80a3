"""The commands ``vendorsrv listen`` and ``vendorsrv lifecycle …``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from vendorsrv.cli.options import config_file
from vendorsrv.errors import ConfigError
from vendorsrv.lifecycle.options import read_options
from vendorsrv.lifecycle.outbox import Outbox
from vendorsrv.lifecycle.queues import remove, waiting
from vendorsrv.lifecycle.table import Left
from vendorsrv.pins.admin import open_admin, shown_time
from vendorsrv.settings import Settings
from vendorsrv.tables import show_table
from vendorsrv.telemetry.logs import quiet, set_up_logging

T = TypeVar("T")

HEADINGS: Final = ("handler", "waiting", "failing", "given up", "oldest", "last error")
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.command()
@config_file
def listen(config_file: Sequence[str]) -> None:
    """Read Nova's notifications, and call handlers for deleted instances, until SIGTERM or Ctrl-C."""
    from vendorsrv.lifecycle.service import listen

    settings = Settings.from_file(config_file)
    set_up_logging(settings.conf)
    listen(settings)


@click.group()
def lifecycle() -> None:
    """Show what is left to do for deleted instances, and remove a queue."""


@lifecycle.command()
@config_file
@AS_JSON
def status(config_file: Sequence[str], as_json: bool) -> None:
    """Show what is left to do for deleted instances, and how many notifications wait to be read."""
    settings = Settings.from_file(config_file)
    left = with_outbox(settings, Outbox.left)
    queues = queues_of(settings)
    if as_json:
        click.echo(json.dumps({"outbox": [dict(zip(HEADINGS, row(each), strict=True)) for each in left], **queues}))
        return
    show_table(HEADINGS, [tuple(map(str, row(each))) for each in left], Console())
    for name, number in queues["queues"].items():
        click.echo(f"transport {name}: {f'{number} messages wait' if isinstance(number, int) else number}")


@lifecycle.command("remove-queue")
@config_file
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def remove_queue(config_file: Sequence[str], yes: bool) -> None:
    """Remove the queue of notifications at each broker: a queue that no listener reads grows for ever."""
    settings = Settings.from_file(config_file)
    options = read_options(settings.conf)
    if not yes:
        click.confirm(f"Remove the queue {options.pool} and the notifications in it?", abort=True, err=True)
    with quiet():
        for number in range(len(options.transport_url)):
            found = remove(settings.conf, number)
            click.echo(f"transport {number}: {'no queue' if found is None else f'removed, with {found} messages'}")


def with_outbox(settings: Settings, task: Callable[[Outbox], Awaitable[T]]) -> T:
    """Run a task with the outbox of an existing database."""

    async def run() -> T:
        async with open_admin(settings) as admin:
            return await task(Outbox(admin.store.database, ()))

    with quiet():
        return asyncio.run(run())


def row(left: Left) -> tuple[Any, ...]:
    oldest = "" if left.oldest is None else f"{left.oldest:.0f} s"
    return left.handler or "vendorsrv", left.waiting, left.failing, left.given_up, oldest, left.error or ""


def queues_of(settings: Settings) -> dict[str, dict[str, int | str]]:
    """Return how many messages wait at each transport, or why that is not known."""
    found: dict[str, int | str] = {}
    with quiet():
        for number in range(len(read_options(settings.conf).transport_url)):
            try:
                count = waiting(settings.conf, number)
                found[str(number)] = "no queue" if count is None else count
            except ConfigError as error:
                found[str(number)] = str(error)
    return {"queues": found}


def deleted_page(settings: Settings, limit: int, after: str) -> tuple[list[dict[str, str]], bool]:
    """Return a page of the instances that are known to be gone, and whether there are more."""
    rows = with_outbox(settings, lambda outbox: outbox.remembered(limit + 1, after))
    page = [
        {
            "instance_id": instance_id,
            "project_id": project_id or "",
            "deleted_at": shown_time(added_at),
            "forgotten_at": "" if ended_at is None else shown_time(ended_at),
        }
        for instance_id, project_id, added_at, ended_at in rows[:limit]
    ]
    return page, len(rows) > limit
