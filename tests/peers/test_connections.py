"""Places for connections: each limit, and who makes room for whom."""

from __future__ import annotations

import logging

import pytest

from vendorsrv.peers.addresses import Networks, parse_network
from vendorsrv.peers.connections import Connection, Connections
from vendorsrv.telemetry.metrics import Counter, Metrics


class Worker:
    """A worker whose connections have names and no sockets."""

    def __init__(self, most: int, most_per_peer: int) -> None:
        self.counters = {
            limit: Metrics().counter("vendorsrv_connections_refused_total", limit) for limit in ("peer", "worker")
        }
        trusted = Networks([parse_network("10.0.0.10")])
        self.connections = Connections(most, most_per_peer, trusted, self.counters)
        self.closed: list[str] = []

    def connect(self, name: str, peer: str = "192.0.2.1") -> Connection | None:
        """Open a connection; None if it is refused."""
        connection = Connection(self.connections, peer, lambda: self.closed.append(name))
        return connection if self.connections.admit(connection) else None

    def must_connect(self, name: str, peer: str = "192.0.2.1") -> Connection:
        """Open a connection that is not refused."""
        connection = self.connect(name, peer)
        assert connection
        return connection

    @property
    def refused(self) -> tuple[float, float]:
        """How many the limit of a peer and that of the worker have cost."""
        peer, worker = self.counters["peer"], self.counters["worker"]
        return value(peer), value(worker)


def busy() -> bool:
    """Say that a connection is not idle."""
    return False


def value(counter: Counter) -> float:
    """Return a counter's number."""
    return counter.counts.values[counter.index]


def test_the_oldest_idle_connection_of_a_peer_makes_room_for_its_next() -> None:
    """A peer with too many connections loses the one that was idle longest, and nobody else does."""
    worker = Worker(10, 2)
    worker.must_connect("other", "192.0.2.2")
    first = worker.must_connect("first")
    worker.must_connect("second")
    first.rest()
    worker.must_connect("third")
    assert (["second"], (1.0, 0.0)) == (worker.closed, worker.refused)


def test_a_peer_whose_connections_are_all_busy_gets_no_more() -> None:
    """A connection that is being answered makes no room: the new one is refused."""
    worker = Worker(10, 2)
    for name in ("first", "second"):
        worker.must_connect(name).is_idle = busy
    assert (None, [], (1.0, 0.0)) == (worker.connect("third"), worker.closed, worker.refused)


def test_the_oldest_idle_connection_of_all_makes_room_at_the_workers_limit() -> None:
    """A worker with too many connections closes the one that was idle longest, whose ever it is."""
    worker = Worker(3, 2)
    worker.must_connect("busy", "192.0.2.1").is_idle = busy
    worker.must_connect("idle", "192.0.2.2")
    worker.must_connect("newer", "192.0.2.3")
    worker.must_connect("newest", "192.0.2.4")
    assert (["idle"], (0.0, 1.0)) == (worker.closed, worker.refused)


def test_a_worker_whose_connections_are_all_busy_takes_no_more() -> None:
    """At the worker's limit without an idle connection, a new one is refused."""
    worker = Worker(2, 2)
    for peer in ("192.0.2.1", "192.0.2.2"):
        worker.must_connect(peer, peer).is_idle = busy
    assert (None, [], (0.0, 1.0)) == (worker.connect("third", "192.0.2.3"), worker.closed, worker.refused)


def test_a_closed_connection_leaves_its_place() -> None:
    """A place can be taken again when its connection was closed, and closing twice frees one place."""
    worker = Worker(10, 1)
    first = worker.must_connect("first")
    first.leave()
    first.leave()
    worker.must_connect("second")
    assert ([], 1, 1) == (worker.closed, len(worker.connections.all), len(worker.connections.idle))


def test_one_peer_cannot_have_all_connections() -> None:
    """The limit for a peer is at most half of the worker's."""
    worker = Worker(4, 100)
    for name in ("first", "second", "third"):
        worker.must_connect(name)
    assert ["first"] == worker.closed


def test_an_ipv6_peer_is_its_64() -> None:
    """Addresses of one /64 share its limit; those of another have their own."""
    worker = Worker(10, 1)
    worker.must_connect("first", "2001:db8:0:1::1")
    worker.must_connect("second", "2001:db8:0:2::1")
    worker.must_connect("third", "2001:db8:0:1::2")
    assert ["first"] == worker.closed


def test_a_trusted_proxy_has_no_limit_for_a_peer() -> None:
    """A trusted proxy may have as many connections as the worker."""
    worker = Worker(5, 1)
    for number in range(5):
        worker.must_connect(str(number), "10.0.0.10")
    assert ([], (0.0, 0.0)) == (worker.closed, worker.refused)


def test_what_a_proxy_forwards_counts_for_the_forwarded_peer() -> None:
    """A connection that a trusted proxy forwards takes a place of the peer that it names."""
    worker = Worker(10, 1)
    worker.must_connect("direct")
    forwarded = worker.must_connect("forwarded", "10.0.0.10")
    forwarded.leave()
    forwarded.name("::ffff:192.0.2.1")
    assert (True, ["direct"], "192.0.2.1") == (worker.connections.admit(forwarded), worker.closed, forwarded.peer)


def test_refusals_are_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """One line a second names the peer, the limit and how many more there were."""
    caplog.set_level(logging.WARNING, "vendorsrv.peers.connections")
    worker = Worker(10, 1)
    for number in range(4):
        worker.must_connect(str(number))
    worker.connections.line.next = 0.0  # a second later
    worker.must_connect("last")
    line = "closed a connection of 192.0.2.1, since max_connections_per_peer is 1; %d more since the last such line"
    assert [line % 0, line % 2] == [record.getMessage() for record in caplog.records]
