"""The command ``vendorsrv contract``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from vendorsrv.cli.call import FILE, call, limits_of, payload_of
from vendorsrv.cli.failure import InputError
from vendorsrv.contract.case import Severity
from vendorsrv.contract.junit import as_junit
from vendorsrv.contract.report import as_json, explain, summary
from vendorsrv.contract.session import Credentials
from vendorsrv.contract.suite import Report, Verdict, check, select
from vendorsrv.errors import ConfigError
from vendorsrv.nova.credentials import from_environment, open_session
from vendorsrv.tables import show_table
from vendorsrv.telemetry.logs import quiet

#: The path of clouds.yaml. It is not a credential; neither are oslo.config's variables, OS_GROUP__OPTION.
CLOUDS_YAML: Final = "OS_CLIENT_CONFIG_FILE"
FAILED: Final[dict[Severity, str]] = {"must": "bold red", "should": "yellow", "info": "cyan"}


def show_list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        headings = ("case", "severity", "what a good server does")
        show_table(headings, [(case.id, case.severity, case.title) for case in select()], Console())
        context.exit()


@click.command(short_help="Check any vendordata server against what Nova needs.")
@click.option("--tenant-os-cloud", metavar="CLOUD", help="An account that the server must refuse.")
@click.option("--only", metavar="ID", multiple=True, help="Run only this case or group; can be repeated.")
@click.option("--skip", metavar="ID", multiple=True, help="Do not run this case or group; can be repeated.")
@click.option("--strict", is_flag=True, help="Count failures of severity should as well.")
@click.option("--junit", type=FILE, help="Also write JUnit XML to this file.")
@click.option("--json", "to_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=show_list, help="List the cases.")
def contract(target: str, name: str | None, **options: Any) -> NoReturn:
    """Check the vendordata server at URL, in whatever language it is written, against what Nova and cloud-init need.

    A run sends about forty requests, at most six at once, for instances that do not exist. Cases that need a token
    take it from the same options as `vendorsrv call`; without credentials they are not tested.

    The exit status is 0 when no must failed (with --strict, no should either), 1 when one failed, and 2 when the
    server could not be called.
    """
    try:
        with quiet():
            report = check(
                target,
                name=name,
                caller=caller_of(options),
                tenant=from_environment(options["tenant_os_cloud"]) if options["tenant_os_cloud"] else None,
                limits=limits_of(options),
                payload=payload_of(options, base={}),
                only=options["only"],
                skip=options["skip"],
            )
        if options["to_json"]:
            click.echo(json.dumps(as_json(report, strict=options["strict"]), indent=2))
        else:
            show_report(report, Console(), strict=options["strict"])
        if options["junit"]:
            write(options["junit"], as_junit(report, strict=options["strict"]))
    except ConfigError as error:
        raise InputError(str(error)) from None
    sys.exit(0 if report.passes(strict=options["strict"]) else 1)


# The request and its token have the same options as in `vendorsrv call`; only the default of the image differs.
image_id = click.Option(["--image-id"], metavar="ID", help="The instance's image; random by default.")
contract.params[:0] = [
    image_id if parameter.name == image_id.name else parameter
    for parameter in call.params
    if parameter.name != "to_json"
]


def caller_of(options: dict[str, Any]) -> Credentials:
    given = options["os_cloud"] or options["nova_conf"] or options["no_token"] or has_credentials()
    return open_session(options["os_cloud"], options["nova_conf"], no_token=options["no_token"]) if given else None


def has_credentials() -> bool:
    return any(name.startswith("OS_") and "__" not in name and name != CLOUDS_YAML for name in os.environ)


def write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError:
        raise ConfigError(f"{path} cannot be written") from None


def show_report(report: Report, console: Console, *, strict: bool) -> None:
    """Print a row for each case, an explanation of each failure, and the totals; in colour on a terminal."""
    rows = [(each.case.id, each.case.severity, each.outcome, each.found) for each in report.verdicts]
    show_table(
        ("case", "severity", "outcome", "found"), rows, console, [style_of(verdict) for verdict in report.verdicts]
    )
    for verdict in report.failures():
        console.print()
        first, *others = explain(verdict)
        console.print(Text(first, style=style_of(verdict)), soft_wrap=True)
        for line in others:
            console.print(Text(line), soft_wrap=True)
    console.print()
    style = "bold green" if report.passes(strict=strict) else "bold red"
    console.print(Text(summary(report), style=style), soft_wrap=True)


def style_of(verdict: Verdict) -> str:
    """Return the colour of a row: a failure by its severity; what was not tested is dim."""
    if verdict.outcome == "failed":
        return FAILED[verdict.case.severity]
    return "dim" if verdict.outcome == "not tested" else ""
