"""``python -m bench.storm``, as ``make bench-storm`` runs it: a boot storm over vendorsrv and over its rival."""

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
from bench.storm_driver import Blown, blow
from bench.storm_model import Storm
from bench.storm_results import Outcome, Row, figures, side_by_side
from bench.storm_servers import THREADS, Target, cloud, cpu_of, serving_field, serving_vendorsrv
from tests.support import real_peers as peers
from tests.support.keystone import NOVA, Keystone
from tests.support.waiting import wait_until

CONTENDERS = {"vendorsrv": serving_vendorsrv, "wsgi": serving_field}


@dataclass(frozen=True, slots=True)
class Weather:
    """Lets storms blow, with one Keystone and one set of tokens for all of them."""

    directory: Path
    keystone: Keystone
    tokens: Sequence[str]
    delay: float

    def over(self, contender: str, storm: Storm, workers: int) -> Outcome:
        """Start a contender, warm it up, and let a storm blow over it."""
        directory = self.directory / f"{contender}-{workers}"
        directory.mkdir()
        with CONTENDERS[contender](directory, self.keystone, workers, self.delay) as target:
            self.warm_up(target, workers)
            runs, validations, cpu = self.counts(target)
            blown = asyncio.run(blow(storm, target.url, self.tokens))
            counted = self.counts(target)
        return Outcome(storm, workers, blown, counted[0] - runs, counted[1] - validations, counted[2] - cpu)

    def warm_up(self, target: Target, workers: int) -> None:
        """Let every worker answer some calls with tokens that the storm does not have."""
        tokens = [self.keystone.token(NOVA) for _ in range(workers)]
        storm = Storm(workers, 10 * workers, 2, 0.0, seed=0)
        wait_until(lambda: is_calm(asyncio.run(blow(storm, target.url, tokens))), 120)

    def counts(self, target: Target) -> tuple[int, int, float]:
        """Give runs of the backend, validations by Keystone, and the server's seconds of CPU, since their start."""
        return (
            sum(1 for _ in target.runs.iterdir()),
            self.keystone.requests("GET", "/v3/auth/tokens"),
            cpu_of(target.pids),
        )


def is_calm(blown: Blown) -> bool:
    """Say whether all was answered, by workers that have begun to work."""
    return all(reply.outcome == "200" for reply in blown.replies)


def report(storm: Storm, workers: int, delay: float, contenders: Sequence[str]) -> dict[str, list[Row]]:
    """Measure, and give the rows of two tables: ``storm`` side by side, and ``figures`` with their goals."""
    with (
        TemporaryDirectory(prefix="vendorsrv-storm-") as folder,
        cloud(Path(folder), storm.hosts) as (keystone, tokens),
    ):
        weather = Weather(Path(folder), keystone, tokens, delay)
        found = {name: weather.over(name, storm, workers) for name in contenders}
        tables = {"storm": side_by_side(found)}
        if "vendorsrv" in found:
            single = found["vendorsrv"] if workers == 1 else weather.over("vendorsrv", smaller(storm), 1)
            tables["figures"] = figures(found["vendorsrv"], single)
    return tables


def smaller(storm: Storm) -> Storm:
    """Give a storm for one worker: every host comes, with fewer instances and half as many of them in a second."""
    instances = max(storm.hosts, storm.instances // 10)
    return replace(storm, instances=instances, window=2 * storm.window * instances / storm.instances)


def measured(storm: Storm, workers: int, delay: float, contenders: Sequence[str]) -> dict[str, object]:
    """Measure, and give what is kept: the machine, what kind of storm it was, and the rows."""
    tables = report(storm, workers, delay, contenders)
    servers = f"{workers} workers each, gunicorn's with {THREADS} threads; a backend that takes {delay:g} s"
    said = f"{storm.hosts} hosts, {storm.instances} instances, {storm.calls} calls each, within {storm.window:g} s"
    return {
        "machine": {**machine.kind(), "databases": peers.RAN, "storm": said, "servers": servers},
        "benchmarks": tables,
    }


@click.command()
@click.option("--hosts", default=50, show_default=True, help="Hosts, each with its own token.")
@click.option("--instances", default=1000, show_default=True, help="Instances that they boot in all.")
@click.option("--calls", default=6, show_default=True, help="Calls for each instance, one after the other.")
@click.option("--workers", default=4, show_default=True, help="Workers of each server.")
@click.option("--delay", default=0.1, show_default=True, help="Seconds that the handler's backend takes.")
@click.option("--window", default=20.0, show_default=True, help="Seconds in which the boots begin; 0 is all at once.")
@click.option("--seed", default=1, show_default=True, help="Of the times at which they begin.")
@click.option("--only", type=click.Choice(list(CONTENDERS)), help="One of the two servers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for keeping.")
def main(workers: int, delay: float, only: str | None, as_json: bool, **storm: int) -> None:
    """Play hosts that boot instances against servers with a slow backend, and print what became of the calls."""
    try:
        found = measured(Storm(**storm), workers, delay, [only] if only else list(CONTENDERS))
    except pytest.skip.Exception as missing:
        raise click.ClickException(str(missing)) from None
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
