"""Strangers without a token cost Nova no answer: a real server is attacked, and each attack prints its figures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.console import Console

from bench.__main__ import to_text
from bench.strangers import Outcome, attacked
from bench.strangers_nova import NOVA_TIMEOUT
from bench.strangers_servers import Target, serving
from tests.support import real_peers as peers
from tests.support.fake_keystone import FakeKeystone
from vendorsrv.tables import show_columns

#: Seconds of each attack, and those that Nova and the server wait: nets, for a busy machine.
SECONDS = 1.5
PATIENCE = 60.0
TIMEOUTS = {"request_timeout": 55, "auth_timeout": 50, "body_timeout": 50}
#: Attacks on a server without TLS, and what the stranger sees of it.
HELD = {
    "header value without end": "431",
    "many small headers": "431",
    "URL without end": "414",
    "trailers without end": "401",
    "pipelined requests": "200",
    "500 that do not read": "closed",
    "/-/metrics, 50 connections": "200",
    "/-/docs, 50 connections": "200",
    "made-up tokens, 80 a second": "401",
    "made-up tokens, at full speed": "401",
    "new connections, 200 at a time": "200",
    "connections that are reset": "200",
    "one-byte chunks, refused": "401",
    "huge body, refused": "401",
    "1,100 silent connections": "closed",
    "1,100 half-sent heads": "closed",
}


@pytest.fixture(scope="module")
def keystone() -> Iterator[FakeKeystone]:
    """Who validates tokens; it asks for nothing else of the machine."""
    peers.skip_if_unit()
    with FakeKeystone() as keystone:
        yield keystone


@pytest.fixture(scope="module")
def target(keystone: FakeKeystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The server that is attacked, with one worker."""
    with serving(tmp_path_factory.mktemp("attacked") / "server", keystone, "direct", **TIMEOUTS) as target:
        yield target


@pytest.fixture(scope="module")
def target_by_tls(keystone: FakeKeystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The same with TLS."""
    with serving(tmp_path_factory.mktemp("attacked-by-tls") / "server", keystone, "direct, TLS", **TIMEOUTS) as target:
        yield target


def outcome_of(attack: str, target: Target, keystone: FakeKeystone, seconds: float = SECONDS) -> Outcome:
    """Let one stranger attack, and print the figures."""
    tokens = [keystone.issue("service") for _ in range(10)]
    outcome = attacked(target, attack, 1, seconds, tokens, patience=PATIENCE)
    row = {"attack": attack, **outcome.row(), "stranger": dict(outcome.found[0])}
    show_columns(list(row), [[to_text(value) for value in row.values()]], Console())
    return outcome


def expect_no_loss(outcome: Outcome) -> None:
    """Nova has all its answers, and there is no need of memory."""
    assert all(calls.seconds for calls in outcome.calls.values())
    assert [] == outcome.lost
    before, *later = outcome.memory
    assert max(later) <= before + 64 * 2**20


@pytest.mark.parametrize(("attack", "seen"), HELD.items())
def test_strangers_cost_nova_no_answer(target: Target, keystone: FakeKeystone, attack: str, seen: str) -> None:
    """The server answers a stranger or ends the connection, and Nova gets all of its answers."""
    outcome = outcome_of(attack, target, keystone)
    assert outcome.found[0][seen]
    expect_no_loss(outcome)


def test_scrapes_without_pause_keep_no_request_of_nova_waiting(target: Target, keystone: FakeKeystone) -> None:
    """While 50 connections scrape for 4 seconds, each request with a known token is answered before Nova gives up."""
    outcome = outcome_of("/-/metrics, 50 connections", target, keystone, seconds=4.0)
    assert outcome.found[0]["200"] >= 50
    assert [] == outcome.lost
    calls = outcome.calls["known token"]
    assert calls.sent >= 4
    assert calls.longest < NOVA_TIMEOUT


@pytest.mark.parametrize("attack", ["200 handshakes at a time", "500 half handshakes"])
def test_handshakes_cost_nova_no_answer(target_by_tls: Target, keystone: FakeKeystone, attack: str) -> None:
    """Connections that begin TLS, whether they go on or not, cost Nova no answer."""
    expect_no_loss(outcome_of(attack, target_by_tls, keystone))
