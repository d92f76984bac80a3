"""The command ``vendorsrv check``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.text import Text

from vendorsrv.check.findings import Finding
from vendorsrv.check.run import find_all
from vendorsrv.errors import ConfigError

STYLES = {"error": "bold red", "warning": "yellow"}


class Unreadable(click.ClickException):
    """A file cannot be read: one line on standard error, exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the line as the other commands do."""
        click.echo(f"vendorsrv: {self.message}", file=file, err=True)


@click.command()
@click.option("--config-file", required=True, metavar="FILE", help="The server's INI file.")
@click.option("--nova-conf", metavar="FILE", help="Check Nova's side too: the nova.conf of its computes or metadata.")
@click.option("--strict", is_flag=True, help="Let warnings count as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
def check(config_file: str, nova_conf: str | None, strict: bool, as_json: bool) -> NoReturn:
    """Find what is wrong with a configuration, all of it in one run, and change nothing.

    A line for each finding: FILE:LINE: error: [section] option: message. The exit status is 0 without errors,
    1 with errors (or warnings, when --strict), and 2 when a file cannot be read.
    """
    try:
        findings = find_all(config_file, nova_conf)
    except ConfigError as error:
        raise Unreadable(str(error)) from None
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        show(findings, Console())
    sys.exit(any(strict or finding.severity == "error" for finding in findings))


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print a line for each finding; on a terminal in colours, and with their number."""
    for finding in findings:
        line = Text(str(finding))
        line.highlight_words([f" {finding.severity}: "], STYLES[finding.severity])
        console.print(line, soft_wrap=True)
    if console.is_terminal:
        errors = sum(finding.severity == "error" for finding in findings)
        console.print(
            f"{errors} errors, {len(findings) - errors} warnings",
            style="bold" if findings else "green",
            highlight=False,
        )
