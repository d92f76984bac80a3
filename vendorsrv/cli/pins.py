"""The commands ``vendorsrv pins …`` and ``vendorsrv db upgrade``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import mkstemp
from typing import Any, BinaryIO, Final, TypeVar

import click
from rich.console import Console

from vendorsrv.cli.options import config_file
from vendorsrv.database.schema import EXPANSION
from vendorsrv.errors import ConfigError
from vendorsrv.pins.admin import PinAdmin, Rotation, describe, open_admin, upgrade_pins
from vendorsrv.pins.service import purge as purge_pins
from vendorsrv.pins.table import Row
from vendorsrv.settings import Settings
from vendorsrv.tables import show_table
from vendorsrv.telemetry.logs import quiet

T = TypeVar("T")

HEADINGS: Final = {"instance_id": "instance", "handler": "handler", "pinned_at": "pinned at", "stored": "stored"}
OF_DELETED: Final = {
    "instance_id": "instance",
    "project_id": "project",
    "deleted_at": "deleted at",
    "forgotten_at": "forgotten at",
}
SECONDS: Final = {"": 86_400.0, "d": 86_400.0, "h": 3_600.0}

of_handler = click.option("--handler", metavar="NAME", help="Only pins of this handler.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the pins as a JSON list.")


def read_age(_: click.Context, __: click.Parameter, text: str) -> float:
    """Return the seconds of a number of days or hours (``30``, ``30d``, ``12h``)."""
    match = re.fullmatch(r"([0-9]{1,6})([dh]?)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a number of days (30, 30d) or hours (12h)")
    return int(match[1]) * SECONDS[match[2]]


@click.group()
def db() -> None:
    """Manage the database of pins."""


@db.command()
@config_file
def upgrade(config_file: Sequence[str]) -> None:
    """Create the table of pins, or upgrade it to the schema of this version."""
    settings = Settings.from_file(config_file)
    with quiet():
        asyncio.run(upgrade_pins(settings))
    click.echo(f"The database has the schema of this version ({EXPANSION}).")


@click.group()
def pins() -> None:
    """List, show, forget, export, import and re-encrypt pins."""


@pins.command("list")
@config_file
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Pins a page, roughly.")
@click.option("--after", metavar="INSTANCE", default="", help="Continue after this instance.")
@of_handler
@click.option("--deleted", is_flag=True, help="List the instances that are known to be deleted instead.")
@as_json
def list_pins(
    config_file: Sequence[str], limit: int, after: str, handler: str | None, *, deleted: bool, as_json: bool
) -> None:
    """List the pins by instance, without their answers."""
    if deleted:
        from vendorsrv.cli.lifecycle import deleted_page

        listed, more = deleted_page(Settings.from_file(config_file), limit, after)
    else:
        rows, more = work(config_file, lambda admin: admin.page(limit, after, handler))
        listed = [describe(row) for row in rows]
    headings = OF_DELETED if deleted else HEADINGS
    if as_json:
        click.echo(json.dumps(listed, indent=2))
    else:
        show_table(tuple(headings.values()), [tuple(each[name] for name in headings) for each in listed], Console())
    if more:
        click.echo(f"More {'instances' if deleted else 'pins'} follow: --after {listed[-1]['instance_id']}", err=True)


@pins.command("show")
@config_file
@click.argument("instance")
@of_handler
@click.option("--answer", "with_answer", is_flag=True, help="Also show the answer, which may be secret.")
@as_json
def show_pin(config_file: Sequence[str], instance: str, handler: str | None, with_answer: bool, as_json: bool) -> None:
    """Show the pins of an instance."""

    async def read(admin: PinAdmin) -> list[dict[str, Any]]:
        rows = await admin.find([instance.lower()], handler)
        answers = [{"answer": json.loads(admin.answer(row))} if with_answer else {} for row in rows]
        return [describe(row) | answer for row, answer in zip(rows, answers, strict=True)]

    found = work(config_file, read)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    for each in [] if as_json else found:
        answer = json.dumps(each["answer"]) if with_answer else "not shown without --answer"
        for name, value in (each | {"answer": answer}).items():
            click.echo(f"{HEADINGS.get(name, name.replace('_', ' '))}: {value}")
    if not found:
        click.echo(f"vendorsrv: instance {instance} has no pin", err=True)
        sys.exit(1)


@pins.command()
@config_file
@click.argument("instances", nargs=-1, required=True, metavar="INSTANCE...")
@of_handler
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def forget(config_file: Sequence[str], instances: Sequence[str], handler: str | None, yes: bool) -> None:
    """Delete the pins of instances, on all hosts at once; the next call runs the handler again."""

    async def forget_found(admin: PinAdmin) -> list[Row]:
        rows = await admin.find([instance.lower() for instance in instances], handler)
        if rows and not yes:
            for row in rows:
                click.echo(f"{row.instance_id} {row.handler}", err=True)
            click.confirm(f"Forget {count(len(rows), 'pin')}?", abort=True, err=True)
        await admin.forget(rows)
        return rows

    forgotten = work(config_file, forget_found)
    for row in forgotten:
        click.echo(f"forgotten: {row.instance_id} {row.handler}")
    for instance in instances:
        if instance.lower() not in {row.instance_id for row in forgotten}:
            click.echo(f"vendorsrv: instance {instance} has no pin", err=True)
    sys.exit(not forgotten)


@pins.command()
@config_file
@click.argument("path", metavar="[FILE]", default="-")
def export(config_file: Sequence[str], path: str) -> None:
    """Write all pins, decrypted, as lines of JSON to FILE (mode 600) or standard output."""

    async def write(admin: PinAdmin) -> int:
        number = 0
        with nullcontext(sys.stdout.buffer) if path == "-" else private_file(Path(path)) as file:
            async for line in admin.export():
                file.write(line)
                number += 1
        return number

    click.echo(f"{count(work(config_file, write), 'pin')} exported", err=True)


@pins.command("import")
@config_file
@click.argument("file", type=click.File("rb"))
def load(config_file: Sequence[str], file: BinaryIO) -> None:
    """Import the pins of an export FILE (- for standard input); existing pins stay as they are."""
    new, there = work(config_file, lambda admin: admin.load(file))
    click.echo(f"{count(new, 'pin')} imported, {there} existed already")


@pins.command()
@config_file
@click.option("--older-than", callback=read_age, required=True, metavar="AGE", help="Days (30, 30d) or hours (12h).")
def purge(config_file: Sequence[str], older_than: float) -> None:
    """Delete all pins of a certain age, in small batches, whether or not their instances still exist."""
    deleted = work(config_file, lambda admin: purge_pins(admin.store, older_than))
    click.echo(f"{count(deleted, 'pin')} deleted")


@pins.command()
@config_file
def rotate(config_file: Sequence[str]) -> None:
    """Encrypt every answer with the newest key, with allow_plain also plain ones; servers need not stop."""
    rotation: Rotation = work(
        config_file, lambda admin: admin.rotate(lambda seen: click.echo(f"{seen} pins so far", err=True))
    )
    click.echo(f"{count(rotation.renewed, 'pin')} encrypted with the newest key, {rotation.current} already were")
    for (handler, reason), number in rotation.unreadable.items():
        first = rotation.first[handler, reason]
        click.echo(
            f"vendorsrv: {count(number, 'pin')} of handler {handler}: {reason} (the first of instance {first})",
            err=True,
        )
    sys.exit(bool(rotation.unreadable))


def work(config_file: Sequence[str], task: Callable[[PinAdmin], Awaitable[T]]) -> T:
    """Run a task with the pins, without the drivers' log lines on the terminal."""
    settings = Settings.from_file(config_file)

    async def run() -> T:
        async with open_admin(settings) as admin:
            return await task(admin)

    with quiet():
        return asyncio.run(run())


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that only its owner can read; it replaces an existing one only when it is complete."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a regular file")
    try:
        descriptor, beside = mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 600
        try:
            with open(descriptor, "wb") as file:
                yield file
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
