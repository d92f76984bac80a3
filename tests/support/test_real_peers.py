"""The rule for missing peers."""

import pytest

from tests.support import real_peers as peers


@pytest.fixture(autouse=True)
def no_peers_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this run's list of peers as it is, and start without CI and with peers wanted."""
    monkeypatch.setattr(peers, "RAN", {})
    monkeypatch.setattr(peers.Wanted, "peers", True)
    monkeypatch.delenv("CI", raising=False)


def test_a_peer_that_is_there_is_named_in_the_summary() -> None:
    """The summary names each peer that a test asked for, with its version."""
    version = peers.require("pytest", "never missing here")
    assert f"real peers: Pytest {version}" == peers.summary()


def test_a_missing_peer_skips_with_its_reason() -> None:
    """Without the package the test is skipped, and the report says why."""
    with pytest.raises(pytest.skip.Exception, match=r"^no real Nosuch$"):
        peers.require("nosuchpeer", "no real Nosuch")
    assert peers.summary() == "real peers: none"


def test_a_unit_test_has_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --unit a test that asks for a peer is skipped, although the peer is there."""
    monkeypatch.setattr(peers.Wanted, "peers", False)
    with pytest.raises(pytest.skip.Exception, match=r"^not a unit test: "):
        peers.require("pytest", "never missing here")
    with pytest.raises(pytest.skip.Exception, match=r"^not a unit test: "):
        peers.require_program("sh")


def test_a_missing_program_is_named() -> None:
    """Without the program the test is skipped, and the report says which one it needs."""
    with pytest.raises(pytest.skip.Exception, match=r"^no nosuchprogram: make test installs it$"):
        peers.require_program("nosuchprogram")


def test_a_missing_peer_fails_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true a missing peer is a failure."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no real Nosuch"):
        peers.require("nosuchpeer", "no real Nosuch")
