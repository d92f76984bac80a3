"""The command ``vendorsrv contract``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console

from vendorsrv.cli.call import FILE, Failure, call, limits_of, payload_of
from vendorsrv.cli.contract_report import show_cases, show_report
from vendorsrv.contract.junit import as_junit
from vendorsrv.contract.report import as_json
from vendorsrv.contract.session import Credentials
from vendorsrv.contract.suite import Report, check, select
from vendorsrv.errors import ConfigError
from vendorsrv.nova.credentials import from_environment, open_session
from vendorsrv.telemetry.logs import quiet

#: Variables that are no credentials: where clouds.yaml is, and oslo.config's own (OS_GROUP__OPTION).
NO_CREDENTIALS: Final = "OS_CLIENT_CONFIG_FILE"


def show_list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        show_cases(select(), Console())
        context.exit()


@click.command(short_help="Hold any vendordata server to what Nova needs.")
@click.option("--tenant-os-cloud", metavar="CLOUD", help="A tenant's credentials, which must not be let in.")
@click.option("--only", metavar="ID", multiple=True, help="A case's id, or a group's; can be given many times.")
@click.option("--skip", metavar="ID", multiple=True, help="A case's id, or a group's; can be given many times.")
@click.option("--strict", is_flag=True, help="Let what fails a should count, too.")
@click.option("--junit", type=FILE, help="Write JUnit XML to this file as well.")
@click.option("--json", "to_json", is_flag=True, help="Print everything as one JSON object.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=show_list, help="List the cases.")
def contract(target: str, name: str | None, **options: Any) -> NoReturn:
    """Hold the vendordata server at URL, in whatever language it is written, to what Nova and cloud-init need.

    It makes some forty requests, no more than six at once, for instances that do not exist. The cases that need a
    token take it from where `vendorsrv call` does; without any credentials they are not tested. The exit status is 0
    when no must failed (with --strict, no should either), 1 when one did, and 2 when the server could not be asked.
    """
    try:
        with quiet():
            report = perform(target, name, options)
        if options["to_json"]:
            click.echo(json.dumps(as_json(report, strict=options["strict"]), indent=2))
        else:
            show_report(report, Console(), strict=options["strict"])
        if options["junit"]:
            write(options["junit"], as_junit(report, strict=options["strict"]))
    except ConfigError as error:
        raise Failure(str(error)) from None
    sys.exit(0 if report.passes(strict=options["strict"]) else 1)


# What is sent, and with whose token, is said as it is to `vendorsrv call`; one default is another.
image_id = click.Option(["--image-id"], metavar="ID", help="By default a random one.")
contract.params[:0] = [
    image_id if parameter.name == image_id.name else parameter
    for parameter in call.params
    if parameter.name != "to_json"
]


def perform(target: str, name: str | None, options: dict[str, Any]) -> Report:
    return check(
        target,
        name=name,
        caller=caller_of(options),
        tenant=from_environment(options["tenant_os_cloud"]) if options["tenant_os_cloud"] else None,
        limits=limits_of(options),
        payload=payload_of(options, base={}),
        only=options["only"],
        skip=options["skip"],
    )


def caller_of(options: dict[str, Any]) -> Credentials:
    given = options["os_cloud"] or options["nova_conf"] or options["no_token"] or has_credentials()
    return open_session(options["os_cloud"], options["nova_conf"], no_token=options["no_token"]) if given else None


def has_credentials() -> bool:
    return any(name.startswith("OS_") and "__" not in name and name != NO_CREDENTIALS for name in os.environ)


def write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError:
        raise ConfigError(f"{path} cannot be written") from None
