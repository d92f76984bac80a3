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

from vendorsrv.cli.call_report import as_json, render
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import Limits, Result, Target, ask
from vendorsrv.nova.credentials import open_session
from vendorsrv.nova.payload import build_payload, read_payload

FILE = click.Path(path_type=Path)
SECONDS = click.FloatRange(min=0)


class Failure(click.ClickException):
    """The call could not be made: one line on standard error, exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"vendorsrv: {self.message}", file=file, err=True)


@click.command(short_help="Ask a vendordata server as Nova does.")
@click.argument("target", metavar="[NAME@]URL")
@click.option("--name", help="The target's name; it goes before the one in NAME@URL.")
@click.option("--os-cloud", metavar="CLOUD", help="Credentials from clouds.yaml. Without: OS_CLOUD, or OS_*.")
@click.option("--nova-conf", type=FILE, help="Credentials, timeouts and CA from Nova's own file.")
@click.option("--anonymous", "no_token", is_flag=True, help="Send no token.")
@click.option("--instance-id", metavar="UUID", help="By default a random one.")
@click.option("--project-id", metavar="ID", help="By default a random one.")
@click.option("--image-id", metavar="ID", help="By default empty: booted from a volume.")
@click.option("--hostname", help="The instance's short name.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, help="Can be given many times.")
@click.option("--boot-roles", metavar="A,B", help="The roles of the booting user, joined by commas.")
@click.option("--user-data", type=FILE, help="A file with the user-data as the instance sees it.")
@click.option("--payload", type=FILE, help="A JSON file to start from instead; the options above change it.")
@click.option("--ssl-certfile", type=FILE, help="CA certificates to check an https server with.")
@click.option("--connect-timeout", type=SECONDS, help="Seconds; by default 5, as in Nova.")
@click.option("--read-timeout", type=SECONDS, help="Seconds for each read; by default 5, as in Nova.")
@click.option("--json", "to_json", is_flag=True, help="Print everything as one JSON object.")
def call(target: str, name: str | None, to_json: bool, **options: Any) -> NoReturn:
    """Ask the vendordata server at URL exactly as Nova would, and print what the instance would see.

    The entry of vendor_data2.json goes to standard output, remarks to standard error. The exit status is 0
    when Nova keeps the answer, 1 when it drops it, and 2 when the call could not be made.
    """
    # Without a handler Python itself prints the libraries' warnings; what matters of them is in the result.
    logging.getLogger("keystoneauth").addHandler(logging.NullHandler())
    logging.getLogger("openstack").addHandler(logging.NullHandler())
    try:
        result = perform(Target.parse(target, name), options)
    except ConfigError as error:
        raise Failure(str(error)) from None
    if to_json:
        click.echo(json.dumps(as_json(result), indent=2))
    else:
        render(result, Console(), Console(stderr=True))
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
    base = read_payload(options["payload"]) if options["payload"] else base
    try:
        user_data = options["user_data"] and options["user_data"].read_bytes()
    except OSError:
        raise ConfigError(f"{options['user_data']} does not exist or cannot be read") from None
    return build_payload(
        base,
        **{name: options[name] for name in ("instance_id", "project_id", "image_id", "hostname", "boot_roles")},
        user_data=user_data,
        metadata=pairs(options["metadata"]) or None,
    )


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--metadata is KEY=VALUE, and {key} has no =")
        found[key] = value
    return found
