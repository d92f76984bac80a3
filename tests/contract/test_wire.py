"""A request of the contract is read as Nova reads it, but never without end."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.support.misbehaviour import PATIENCE, limits_for
from tests.support.misbehaviour import asked as called
from vendorsrv.contract.wire import Exchange, Request, Wire
from vendorsrv.nova.client import NOVA_DEFAULTS, Limits, Target
from vendorsrv.testing.misbehaviour import BEHAVIOURS
from vendorsrv.testing.upstream import FakeUpstream

#: Nova follows these, and we do not.
NOT_FOLLOWED = {"relative location", "broken location"}
READ = [name for name in BEHAVIOURS if name not in NOT_FOLLOWED]


@pytest.fixture(scope="module")
def peer() -> Iterator[FakeUpstream]:
    """A server with every behaviour of the table."""
    with FakeUpstream() as running:
        yield running


def asked(url: str, limits: Limits = NOVA_DEFAULTS) -> Exchange:
    """Ask once."""
    return Wire(Target("rack", url), limits).send(Request("something", url, b"{}"))


def asked_of(peer: FakeUpstream, name: str) -> Exchange:
    """Ask once, where it behaves in some way."""
    return asked(peer.url_of(name), limits_for(name))


@pytest.mark.parametrize("name", READ)
def test_what_nova_makes_of_it(peer: FakeUpstream, name: str) -> None:
    """The same as of a call of its own, for which tests/peers has the literals."""
    own, nova = called(peer.url_of(name), limits=limits_for(name)), asked_of(peer, name).nova
    assert nova is not None
    assert (repr(own.value), own.raises, own.always_raises) == (repr(nova.value), nova.raises, nova.always_raises)


@pytest.mark.parametrize("name", sorted(NOT_FOLLOWED | {"301", "302", "303", "305", "307", "308"}))
def test_a_redirect_is_not_followed(peer: FakeUpstream, name: str) -> None:
    """And not judged either."""
    exchange = asked_of(peer, name)
    assert (None, True) == (exchange.nova, exchange.status in {301, 302, 303, 305, 307, 308})


@pytest.mark.parametrize(
    ("name", "raises"),
    [
        ("cut short", "UnknownConnectionError"),
        ("bad gzip", "UnknownConnectionError"),
        ("stuck in the body", "ConnectFailure"),
    ],
)
def test_a_broken_answer_is_no_answer(peer: FakeUpstream, name: str, raises: str) -> None:
    """Although its status was good."""
    exchange = asked_of(peer, name)
    assert (200, False, {}, raises) == (
        exchange.status,
        exchange.answered,
        exchange.value,
        exchange.nova and exchange.nova.raises,
    )
    assert ", then the " in str(exchange)


@pytest.mark.parametrize(("name", "timed_out"), [("silent", True), ("stuck in the body", True), ("hangs up", False)])
def test_what_was_too_slow(peer: FakeUpstream, name: str, timed_out: bool) -> None:
    """It is told from what broke off."""
    assert timed_out == asked_of(peer, name).timed_out


def test_nobody_listens(peer: FakeUpstream) -> None:
    """The request never got there."""
    assert asked_of(peer, "refused").never_connected


def test_a_certificate_that_is_not_trusted() -> None:
    """The request never got there either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with FakeUpstream(context) as peer:
        exchange = asked(peer.url)
    assert (True, "the TLS connection failed") == (exchange.never_connected, exchange.nova and exchange.nova.dropped)


def test_an_answer_without_end(peer: FakeUpstream) -> None:
    """It is read for twice Nova's read timeout, and then left."""

    def behave(send: object, wait: object) -> None:
        assert callable(send)
        assert callable(wait)
        send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        while not wait(0.02):
            send(b" ")

    peer.routes["/endless"] = behave
    exchange = asked(f"{peer.base}/endless", PATIENCE)
    assert (200, False, None) == (exchange.status, exchange.answered, exchange.nova)
    assert 1.0 <= float(exchange.cut.removesuffix(" s")) < 10


def test_a_connection_is_used_again(peer: FakeUpstream) -> None:
    """For calls in a row, and not for others."""
    wire = Wire(Target("rack", peer.url), Limits())
    before = peer.connections
    wire.sequence(Request("something", peer.url, b"{}"), 3)
    wire.burst(Request("something", peer.url, b"{}"), 3)
    assert 4 == peer.connections - before
