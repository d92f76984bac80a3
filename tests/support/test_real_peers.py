"""The rule for missing peers."""

import pytest

from tests.support import real_peers as peers


@pytest.fixture(autouse=True)
def no_peers_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the run's own list of peers as it is, and start without CI."""
    monkeypatch.setattr(peers, "RAN", {})
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


def test_a_missing_peer_fails_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true a missing peer is a failure."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no real Nosuch"):
        peers.require("nosuchpeer", "no real Nosuch")
