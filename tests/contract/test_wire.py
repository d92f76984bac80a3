"""The contract reads an answer as Nova does, within limits of time and size."""

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
def test_the_contract_and_call_agree_on_an_answer(peer: FakeUpstream, name: str) -> None:
    """The contract judges each answer as vendorsrv call does, which tests/peers compares with Nova."""
    own, nova = called(peer.url_of(name), limits=limits_for(name)), asked_of(peer, name).nova
    assert nova is not None
    assert (repr(own.value), own.raises, own.always_raises) == (repr(nova.value), nova.raises, nova.always_raises)


@pytest.mark.parametrize("name", sorted(NOT_FOLLOWED | {"301", "302", "303", "305", "307", "308"}))
def test_a_redirect_is_not_followed(peer: FakeUpstream, name: str) -> None:
    """A redirect is recorded, and neither followed nor judged."""
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
    """An answer that breaks off after a good status is not an answer."""
    exchange = asked_of(peer, name)
    assert (200, False, {}, raises) == (
        exchange.status,
        exchange.answered,
        exchange.value,
        exchange.nova and exchange.nova.raises,
    )
    assert ", then the " in str(exchange)


@pytest.mark.parametrize(("name", "timed_out"), [("silent", True), ("stuck in the body", True), ("hangs up", False)])
def test_a_timeout_is_told_from_a_broken_connection(peer: FakeUpstream, name: str, timed_out: bool) -> None:
    """An answer that timed out is told from a connection that broke."""
    assert timed_out == asked_of(peer, name).timed_out


def test_a_refused_connection_never_connected(peer: FakeUpstream) -> None:
    """A refused connection is recorded as never connected."""
    assert asked_of(peer, "refused").never_connected


def test_an_untrusted_certificate_never_connected() -> None:
    """A server with an untrusted certificate is recorded as never connected."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with FakeUpstream(context) as peer:
        exchange = asked(peer.url)
    assert (True, "the TLS connection failed") == (exchange.never_connected, exchange.nova and exchange.nova.dropped)


def test_an_endless_answer_is_cut(peer: FakeUpstream) -> None:
    """Reading an endless answer stops after twice Nova's read timeout."""

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


def test_a_sequence_uses_one_connection(peer: FakeUpstream) -> None:
    """Calls in sequence use one connection, and calls at once have one each."""
    wire = Wire(Target("rack", peer.url), Limits())
    before = peer.connections
    wire.sequence(Request("something", peer.url, b"{}"), 3)
    wire.burst(Request("something", peer.url, b"{}"), 3)
    assert 4 == peer.connections - before
