"""How many connections a worker has, and each peer of it; the oldest idle one makes room for a new one."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable, Mapping
from typing import Final

from vendorsrv.peers.addresses import Networks, peer_key, plain
from vendorsrv.telemetry.logs import RareLine
from vendorsrv.telemetry.metrics import Counter

LOG = logging.getLogger(__name__)
#: The option by which each limit is set.
OPTION: Final = {"peer": "max_connections_per_peer", "worker": "max_connections"}


def limit_connections(wanted: int) -> int:
    """Return how many connections a worker may have: as many as wanted, and three quarters of its files at most.

    The rest is for what handlers, databases, caches and Keystone's clients open.
    """
    return min(wanted, max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4))


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one, for this process and those that it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Connection:
    """One connection.

    :ivar peer: the address of who asks.
    :ivar close: closes it at once.
    :ivar is_idle: whether no request is being answered.
    """

    __slots__ = ("close", "is_idle", "key", "peer", "place")

    def __init__(self, place: Connections, peer: str, close: Callable[[], object]) -> None:
        self.place = place
        self.close = close
        self.is_idle: Callable[[], bool] = lambda: True
        self.name(peer)

    def name(self, peer: str) -> None:
        """Set the peer; a trusted proxy's own connections count for no peer."""
        self.peer = plain(peer)
        self.key = None if self.place.trusted.includes(peer) else peer_key(peer)

    def rest(self) -> None:
        """Note that it is idle from now on."""
        idle = self.place.idle
        idle.pop(self, None)
        idle[self] = time.monotonic()

    def leave(self) -> None:
        """Note that it is closed."""
        self.place.forget(self)


class Connections:
    """The connections of a worker.

    :param most: how many it may have.
    :param most_per_peer: how many of one peer; half of all at most, so that no peer can have them all.
    :param trusted: the proxies, to which the limit for a peer does not apply.
    :param refused: counts by limit, ``peer`` or ``worker``, the connections that were closed because of it.
    :param names: what the log calls each limit.
    :ivar idle: those that may be idle, with the time since when; the oldest first. Others are found out, and removed,
        when room is needed: a request shall not pay for it.
    """

    def __init__(
        self,
        most: int,
        most_per_peer: int,
        trusted: Networks,
        refused: Mapping[str, Counter],
        names: Mapping[str, str] = OPTION,
    ) -> None:
        self.limits = {"worker": most, "peer": min(most_per_peer, max(1, most // 2))}
        self.trusted = trusted
        self.refused = refused
        self.names = names
        self.all: set[Connection] = set()
        self.of_peer: dict[str, set[Connection]] = {}
        self.idle: dict[Connection, float] = {}
        self.line = RareLine(LOG, "closed a connection of %s, since %s is %d")

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for a connection, for which an idle one of the same peer, or of all, may be closed."""
        own = self.of_peer.get(connection.key, ()) if connection.key is not None else ()
        if len(own) >= self.limits["peer"]:
            idle = (each for each in own if each in self.idle and each.is_idle())
            if not self.make_room("peer", min(idle, key=self.idle.__getitem__, default=None), connection):
                return False
        if len(self.all) >= self.limits["worker"] and not self.make_room("worker", self.oldest(), connection):
            return False
        self.all.add(connection)
        if connection.key is not None:
            self.of_peer.setdefault(connection.key, set()).add(connection)
        self.idle[connection] = time.monotonic()
        return True

    def oldest(self) -> Connection | None:
        """Return the connection that has been idle longest."""
        while self.idle:
            first = next(iter(self.idle))
            if first.is_idle():
                return first
            del self.idle[first]  # until its request has ended
        return None

    def make_room(self, limit: str, oldest: Connection | None, new: Connection) -> bool:
        """Close an idle connection; if there is none, the new one is refused."""
        self.report(limit, (oldest or new).peer)
        if oldest is None:
            return False
        self.forget(oldest)
        oldest.close()
        return True

    def forget(self, connection: Connection) -> None:
        """Free the place of a connection that is closed, or that is about to be."""
        self.all.discard(connection)
        self.idle.pop(connection, None)
        if connection.key is not None and (own := self.of_peer.get(connection.key)):
            own.discard(connection)
            if not own:
                del self.of_peer[connection.key]

    def report(self, limit: str, peer: str) -> None:
        """Count a connection that is closed for want of room, and log at most one a second."""
        self.refused[limit].inc()
        self.line.warn(peer, self.names[limit], self.limits[limit])
