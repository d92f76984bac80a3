"""``python -m bench.storm``, which ``make bench-storm`` runs: a boot storm against vendorsrv and a WSGI server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest

from bench import machine
from bench.__main__ import show
from bench.storm_driver import Result, run_storm
from bench.storm_model import Storm
from bench.storm_results import Outcome, Row, figures, side_by_side
from bench.storm_servers import THREADS, Target, cloud, cpu_of, serving_vendorsrv, serving_wsgi_contender
from tests.support import real_peers as peers
from tests.support.keystone import NOVA, Keystone
from tests.support.waiting import wait_until

CONTENDERS = {"vendorsrv": serving_vendorsrv, "wsgi": serving_wsgi_contender}


@dataclass(frozen=True, slots=True)
class Storms:
    """Runs storms against contenders, with the same Keystone and the same tokens."""

    directory: Path
    keystone: Keystone
    tokens: Sequence[str]
    delay: float

    def run(self, contender: str, storm: Storm, workers: int) -> Outcome:
        """Start a contender, warm it up, and run a storm against it."""
        directory = self.directory / f"{contender}-{workers}"
        directory.mkdir()
        with CONTENDERS[contender](directory, self.keystone, workers, self.delay) as target:
            self.warm_up(target, workers)
            runs, validations, cpu = self.counts(target)
            result = asyncio.run(run_storm(storm, target.url, self.tokens))
            counted = self.counts(target)
        return Outcome(storm, workers, result, counted[0] - runs, counted[1] - validations, counted[2] - cpu)

    def warm_up(self, target: Target, workers: int) -> None:
        """Let every worker answer some calls, with tokens that the storm does not use."""
        tokens = [self.keystone.token(NOVA) for _ in range(workers)]
        storm = Storm(workers, 10 * workers, 2, 0.0, seed=0)
        wait_until(lambda: all_answered(asyncio.run(run_storm(storm, target.url, tokens))), 120)

    def counts(self, target: Target) -> tuple[int, int, float]:
        """Return the backend's runs, Keystone's validations and the server's CPU seconds, since their start."""
        return (
            sum(1 for _ in target.runs.iterdir()),
            self.keystone.requests("GET", "/v3/auth/tokens"),
            cpu_of(target.pids),
        )


def all_answered(result: Result) -> bool:
    """Whether all calls were answered with 200."""
    return all(reply.outcome == "200" for reply in result.replies)


def report(storm: Storm, workers: int, delay: float, contenders: Sequence[str]) -> dict[str, list[Row]]:
    """Measure, and return two tables: ``storm`` compares the contenders, ``figures`` has the goals."""
    with (
        TemporaryDirectory(prefix="vendorsrv-storm-") as folder,
        cloud(Path(folder), storm.hosts) as (keystone, tokens),
    ):
        storms = Storms(Path(folder), keystone, tokens, delay)
        found = {name: storms.run(name, storm, workers) for name in contenders}
        tables = {"storm": side_by_side(found)}
        if "vendorsrv" in found:
            single = found["vendorsrv"] if workers == 1 else storms.run("vendorsrv", smaller(storm), 1)
            tables["figures"] = figures(found["vendorsrv"], single)
    return tables


def smaller(storm: Storm) -> Storm:
    """Return a storm for one worker: as many hosts, fewer instances, at half the rate."""
    instances = max(storm.hosts, storm.instances // 10)
    return replace(storm, instances=instances, window=2 * storm.window * instances / storm.instances)


def measure(storm: Storm, workers: int, delay: float, contenders: Sequence[str]) -> dict[str, object]:
    """Measure, and return the machine, the storm and the tables."""
    tables = report(storm, workers, delay, contenders)
    servers = f"{workers} workers each, gunicorn's with {THREADS} threads; a backend that takes {delay:g} s"
    description = (
        f"{storm.hosts} hosts, {storm.instances} instances, {storm.calls} calls each, within {storm.window:g} s"
    )
    return {
        "machine": {**machine.describe(), "databases": peers.RAN, "storm": description, "servers": servers},
        "benchmarks": tables,
    }


@click.command()
@click.option("--hosts", default=50, show_default=True, help="Compute hosts, each with its own token.")
@click.option("--instances", default=1000, show_default=True, help="Instances, in all.")
@click.option("--calls", default=6, show_default=True, help="Calls for each instance, in sequence.")
@click.option("--workers", default=4, show_default=True, help="Workers of each server.")
@click.option("--delay", default=0.1, show_default=True, help="Seconds of a call to the backend.")
@click.option(
    "--window", default=20.0, show_default=True, help="Seconds in which the boots start; 0 starts all at once."
)
@click.option("--seed", default=1, show_default=True, help="Seed of the random start times.")
@click.option("--only", type=click.Choice(list(CONTENDERS)), help="Measure one of the two servers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, to store the figures.")
def main(workers: int, delay: float, only: str | None, as_json: bool, **storm: int) -> None:
    """Simulate compute hosts that boot instances, against servers with a slow backend."""
    try:
        found = measure(Storm(**storm), workers, delay, [only] if only else list(CONTENDERS))
    except pytest.skip.Exception as missing:
        raise click.ClickException(str(missing)) from None
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
