"""The ways to a vendordata server: Nova's own class and ``vendorsrv call``, each directly or through our proxy."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from keystoneauth1.session import Session

from tests.support.keystone import NOVA, Account, Keystone
from tests.support.peers.nova import INSTANCE, Nova, section
from tests.support.peers.server import Server
from tests.support.peers.table import TABLE, Row
from tests.support.peers.table_bad import OWN
from vendorsrv.nova.client import Limits, Result, Target, ask
from vendorsrv.nova.credentials import from_nova_conf
from vendorsrv.testing.misbehaviour import body, path
from vendorsrv.testing.upstream import FakeUpstream

Way = Literal["directly", "through a proxy"]

#: Seconds for the proxies of slow answers.
SLOW: Final[Mapping[str, float]] = {"slow": 0.4, "silent": 0.4, "stuck in the body": 0.4, "dripping for long": 0.4}
#: Seconds, whole ones, that Nova waits for a part of one. Of the one that drips the whole takes longer than that, and
#: each part a twentieth of it.
PATIENCE: Final[Mapping[str, int]] = {"slow": 1, "silent": 1, "stuck in the body": 1, "dripping for long": 3}
#: Seconds for everything else: on a busy machine a good answer takes its time, too.
PLENTY: Final = 60
#: Every proxy passes the caller's token on.
RELAYING: Final = {"auth": "relay", "relay_hosts": "127.0.0.1"}
#: Where the peer is asked for nothing but to see a token.
TOKENS: Final = "tokens"


class Ways(NamedTuple):
    """What it takes to ask each kind of server in each way.

    :ivar urls: of the servers that behave, by their names in the table.
    :ivar front: ours, with a proxy for each server, and for each way to misbehave.
    :ivar sessions: those of `call`, by the account; one for all of its calls, as Nova has it.
    """

    nova: Nova
    keystone: Keystone
    peer: FakeUpstream
    urls: Mapping[str, str]
    front: Server
    sessions: dict[Account | None, Session]

    def target(self, row: Row, way: Way) -> str:
        """Return the URL of a row's server, or of the proxy in front of it."""
        if way == "through a proxy":
            return f"{self.front.url}/{proxy_of(row)}"
        return url_of(self.peer, row.name) if row.server == "misbehaving" else self.urls[row.server]

    def by_nova(self, row: Row, way: Way, *, fatal: bool) -> dict[str, Any]:
        """Return what Nova's own class makes of it, see :meth:`tests.support.peers.nova.Nova.vendordata`."""
        if row.case.revoked:
            self.keystone.revoke(self.new_token_of_nova())
        targets = [f"target@{self.target(row, way)}"]
        return self.nova.vendordata(
            instance_of(row), targets, fatal=fatal, as_user=row.case.account, read_timeout=patience(row, way)
        )

    def new_token_of_nova(self) -> str:
        """Let Nova get another token, which no server that behaves has seen."""
        for account in (None, NOVA):
            self.nova.vendordata(INSTANCE, [f"target@{url_of(self.peer, TOKENS)}"], as_user=account)
        return [each for each in self.peer.received if each.path == path(TOKENS)][-1].headers["X-Auth-Token"]

    def by_call(self, row: Row, way: Way) -> Result:
        """Return what ``vendorsrv call`` makes of it."""
        session = self.sessions[row.case.account]
        if row.case.revoked:
            session.invalidate()
            self.keystone.revoke(str(session.get_token()))
        return ask(session, Target("target", self.target(row, way)), payload(row), Limits(5.0, patience(row, way)))


@contextmanager
def leading(directory: Path, nova: Nova, keystone: Keystone, urls: Mapping[str, str]) -> Iterator[Ways]:
    """Start what misbehaves, and our proxies.

    :param urls: of the servers that behave.
    """
    with FakeUpstream() as peer:
        peer.routes |= {path(name): behaviour for name, behaviour in OWN.items()} | {path(TOKENS): body("{}")}
        limits = {"request_timeout": PLENTY, "auth_timeout": PLENTY / 2}
        options: dict[str, dict[str, object]] = {"vendorsrv": {"handlers": "", **limits}}
        for row in TABLE.values():
            url = url_of(peer, row.name) if row.server == "misbehaving" else urls[row.server]
            options[f"proxy:{proxy_of(row)}"] = {**RELAYING, "url": url, "timeout": SLOW.get(row.name, PLENTY / 2)}
        with Server(directory / "front", keystone, options) as front:
            yield Ways(nova, keystone, peer, urls, front, sessions(directory, nova))


def patience(row: Row, way: Way) -> int:
    """Return the seconds that Nova waits for each read."""
    return PATIENCE.get(row.name, PLENTY) if way == "directly" else PLENTY


def sessions(directory: Path, nova: Nova) -> dict[Account | None, Session]:
    """Return `call` the accounts of the table, as an operator does: by a nova.conf."""
    made: dict[Account | None, Session] = {}
    for account in {row.case.account for row in TABLE.values()}:
        conf = directory / f"{account and account.user}.conf"
        conf.write_text(section("vendordata_dynamic_auth", nova.credentials(account, nova.keystone)))
        made[account] = from_nova_conf(conf)
    return made


def url_of(peer: FakeUpstream, name: str) -> str:
    """Return where a server misbehaves in this way."""
    return f"{peer.base}{path(name)}" if path(name) in peer.routes else peer.url_of(name)


def proxy_of(row: Row) -> str:
    """Return the name of the proxy for a row."""
    return path(row.name)[1:].lower() if row.server == "misbehaving" else row.server


def instance_of(row: Row) -> dict[str, Any]:
    """Return the instance as Nova has it; each row has one of its own, since answers are pinned."""
    return {**INSTANCE, "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, row.name)), **row.case.change}


def payload(row: Row) -> dict[str, Any]:
    """Return what Nova posts for it."""
    instance = instance_of(row)
    return {
        "project-id": instance["project_id"],
        "instance-id": instance["uuid"],
        "image-id": instance["image_ref"],
        "user-data": instance["user_data"],
        "hostname": instance["hostname"],
        "metadata": instance["metadata"],
        "boot-roles": instance["system_metadata"].get("boot_roles", ""),
    }
