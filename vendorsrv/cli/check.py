"""The command ``vendorsrv check``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from vendorsrv.check.findings import Finding, Severity
from vendorsrv.check.run import find_all
from vendorsrv.cli.failure import InputError
from vendorsrv.cli.options import config_file
from vendorsrv.errors import ConfigError

STYLES: Final[dict[Severity, str]] = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@click.command()
@config_file
@click.option("--nova-conf", metavar="FILE", help="Also check the nova.conf of a compute or metadata host.")
@click.option("--online", is_flag=True, help="Also ask Keystone, Nova, Glance, the database and the cache.")
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
def check(config_file: Sequence[str], nova_conf: str | None, online: bool, strict: bool, as_json: bool) -> NoReturn:
    """Check a configuration and report all findings in one run, without changing anything.

    Each finding is a line: FILE:LINE: error: [section] option: message. A note may be right, as behind a load balancer.
    The exit status is 0 without errors, 1 with errors (with --strict, also with warnings), and 2 when a file cannot be
    read.
    """
    try:
        findings = find_all(config_file, nova_conf, online=online)
    except ConfigError as error:
        raise InputError(str(error)) from None
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        show(findings, Console())
    fatal = ("error", "warning") if strict else ("error",)
    sys.exit(any(finding.severity in fatal for finding in findings))


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print a line for each finding; on a terminal in colour, and with the totals."""
    for finding in findings:
        line = Text(str(finding))
        line.highlight_words([f" {finding.severity}: "], STYLES[finding.severity])
        console.print(line, soft_wrap=True)
    if console.is_terminal:
        found = Counter(finding.severity for finding in findings)
        totals = ", ".join(
            f"{found[severity]} {severity}s" for severity in STYLES if found[severity] or severity != "note"
        )
        console.print(totals, style="bold" if findings else "green", highlight=False)
