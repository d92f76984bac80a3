"""The command ``vendorsrv call``."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from vendorsrv.cli.failure import InputError
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import Limits, Result, Target, ask
from vendorsrv.nova.credentials import open_session
from vendorsrv.nova.payload import build_payload, read_file, read_payload
from vendorsrv.nova.pitfalls import is_finite

FILE = click.Path(path_type=Path)
SECONDS = click.FloatRange(min=0)
FATAL = "[api] vendordata_dynamic_failure_fatal"


@click.command(short_help="Call a vendordata server as Nova does.")
@click.argument("target", metavar="[NAME@]URL")
@click.option("--name", help="The target's name; overrides the one in NAME@URL.")
@click.option("--os-cloud", metavar="CLOUD", help="A cloud in clouds.yaml; by default OS_CLOUD or OS_*.")
@click.option("--nova-conf", type=FILE, help="Nova's own file, for credentials, timeouts and CA.")
@click.option("--anonymous", "no_token", is_flag=True, help="Send no token.")
@click.option("--instance-id", metavar="UUID", help="The instance's id; random by default.")
@click.option("--project-id", metavar="ID", help="The instance's project; random by default.")
@click.option("--image-id", metavar="ID", help="The instance's image; by default none: booted from a volume.")
@click.option("--hostname", help="The instance's short host name.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, help="An item of metadata; can be repeated.")
@click.option("--boot-roles", metavar="A,B", help="Roles of the user who boots the instance, separated by commas.")
@click.option("--user-data", type=FILE, help="A file with the user-data, as the instance sees it.")
@click.option("--payload", type=FILE, help="A JSON file with the whole body; the options above override its members.")
@click.option("--ssl-certfile", type=FILE, help="CA certificates for an https URL.")
@click.option("--connect-timeout", type=SECONDS, help="Seconds to wait for the connection; 5 by default, as in Nova.")
@click.option("--read-timeout", type=SECONDS, help="Seconds to wait for each read; 5 by default, as in Nova.")
@click.option("--json", "to_json", is_flag=True, help="Print the result as one JSON object.")
def call(target: str, name: str | None, to_json: bool, **options: Any) -> NoReturn:
    """Call the vendordata server at URL exactly as Nova does, and print what the instance would see.

    The entry of vendor_data2.json goes to standard output, and remarks go to standard error. The exit status is 0
    when Nova keeps the answer, 1 when Nova drops it, and 2 when the call could not be made.
    """
    # Without a handler Python prints the libraries' warnings; the result says what matters of them.
    logging.getLogger("keystoneauth").addHandler(logging.NullHandler())
    logging.getLogger("openstack").addHandler(logging.NullHandler())
    try:
        result = perform(Target.parse(target, name), options)
    except ConfigError as error:
        raise InputError(str(error)) from None
    if to_json:
        click.echo(json.dumps(as_json(result), indent=2))
    else:
        show(result, Console(), Console(stderr=True))
    sys.exit(0 if result.dropped is None else 1)


def perform(target: Target, options: dict[str, Any]) -> Result:
    session = open_session(options["os_cloud"], options["nova_conf"], no_token=options["no_token"])
    result = ask(session, target, payload_of(options), limits_of(options))
    if options["nova_conf"] and session.auth is None:
        note = f"{options['nova_conf']} has no [vendordata_dynamic_auth] auth_type: Nova sends no token"
        return replace(result, warnings=(note, *result.warnings))
    return result


def limits_of(options: dict[str, Any]) -> Limits:
    limits = Limits.from_nova_conf(options["nova_conf"]) if options["nova_conf"] else Limits()
    given = {
        "connect_timeout": options["connect_timeout"],
        "read_timeout": options["read_timeout"],
        "ssl_certfile": options["ssl_certfile"] and str(options["ssl_certfile"]),
    }
    return replace(limits, **{name: value for name, value in given.items() if value is not None})


def payload_of(options: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, Any]:
    return build_payload(
        read_payload(options["payload"]) if options["payload"] else base,
        **{name: options[name] for name in ("instance_id", "project_id", "image_id", "hostname", "boot_roles")},
        user_data=options["user_data"] and read_file(options["user_data"]),
        metadata=pairs(options["metadata"]) or None,
    )


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--metadata {key} has no value: write KEY=VALUE")
        found[key] = value
    return found


def show(result: Result, console: Console, remarks: Console) -> None:
    """Print the entry of ``vendor_data2.json`` on one console, and what Nova makes of the answer on the other."""
    if result.entry is not None:
        text = json.dumps(json.loads(result.entry), indent=2)
        if console.is_terminal:
            console.print(JSONHighlighter()(text), soft_wrap=True)
        else:  # highlighting takes seconds for a megabyte
            console.file.write(f"{text}\n")
    for style, line in lines(result):
        remarks.print(Text(line, style=style), soft_wrap=True)


def lines(result: Result) -> list[tuple[str, str]]:
    answered = "no answer" if result.status is None else f"status {result.status}"
    found = [("dim", f"{result.url}: {answered}, {result.elapsed:.2f} s")]
    if result.always_raises:
        found.append(("bold red", f"Nova raises {result.raises}, even with {FATAL} off: {result.dropped}."))
        found.append(("red", f"The instance gets no vendor_data2.json at all. Nova's error: {result.error}"))
    elif result.dropped is not None:
        found.append(("bold red", f"Nova drops this answer and uses {{}} instead: {result.dropped}."))
        found.append(("red", f"With {FATAL} on, it raises {result.raises}: {result.error}"))
    return found + [("yellow", f"Warning: {warning}.") for warning in result.warnings]


def as_json(result: Result) -> dict[str, Any]:
    """Return the result as a valid JSON object.

    Where Nova's own text is not valid JSON (``NaN``), ``value`` is null and ``entry`` is that text.
    """
    value: Any = result.value
    entry: Any = None if result.entry is None else {result.name: value}
    if not is_finite(value):
        value, entry = None, result.entry
    return {
        "name": result.name,
        "url": result.url,
        "kept": result.dropped is None,
        "value": value,
        "entry": entry,
        "status": result.status,
        "elapsed": round(result.elapsed, 3),
        "headers": dict(result.headers),
        "dropped": result.dropped,
        "error": result.error,
        "raises": result.raises,
        "always_raises": result.always_raises,
        "warnings": list(result.warnings),
    }
