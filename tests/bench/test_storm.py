"""A boot storm of a few seconds, against real servers with a real Keystone and PostgreSQL."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from bench.storm import main
from bench.storm_model import Storm, builds
from tests.support import real_peers as peers
from tests.support.databases import database

SMALL = ["--hosts=3", "--instances=6", "--workers=2", "--window=0.5", "--delay=0.05", "--json"]


@pytest.fixture
def needed() -> None:
    """Skip the test if a peer is missing."""
    peers.require("keystone", "no keystone: make test installs it")
    peers.require("gunicorn", "no gunicorn: make test installs it")
    with database("postgresql"):
        pass


@pytest.mark.usefixtures("needed")
def test_a_small_storm_reaches_every_goal() -> None:
    """A small storm reaches every goal of vendorsrv; the WSGI server runs its backend for each call."""
    result = CliRunner().invoke(main, SMALL)
    tables = json.loads(result.output)["benchmarks"]
    assert [("yes", 6), ("yes", 6), ("yes", 0)] == [(row["reached"], row["measured"]) for row in tables["figures"][:3]]
    validations = [row for row in tables["figures"] if "Keystone" in row["what"]]
    assert [("at most 6", "yes"), ("exactly 3", "yes")] == [(row["goal"], row["reached"]) for row in validations]
    measured = {row["what"]: (row["vendorsrv"], row["wsgi"]) for row in tables["storm"]}
    assert (36, 36) == measured["calls answered with 200"]
    assert (6, 36) == measured["runs of the backend"]
    assert (1, 6) == measured["different answers for one instance, at most"]


def test_a_storm_is_reproducible() -> None:
    """The same seed gives the same builds, evenly spread over the hosts and in the order of their times."""
    planned = builds(Storm(hosts=5, instances=50, window=2.0))
    assert planned == builds(Storm(hosts=5, instances=50, window=2.0))
    assert (50, [10] * 5) == (
        len({build.instance for build in planned}),
        [sum(build.host == host for build in planned) for host in range(5)],
    )
    assert planned == sorted(planned, key=lambda build: build.begins)
