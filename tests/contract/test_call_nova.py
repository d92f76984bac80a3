"""`vendorsrv call` and Nova's own class agree on every way that a server can answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.nova import INSTANCE, Nova
from tests.misbehaviour import CASES, Peer, path, serving
from vendorsrv.call import Limits, Result, Target, ask
from vendorsrv.credentials import from_nova_conf, one_line
from vendorsrv.payload import build_payload

PAYLOAD = build_payload(
    instance_id=INSTANCE["uuid"],
    project_id=INSTANCE["project_id"],
    image_id=INSTANCE["image_ref"],
    hostname=INSTANCE["hostname"],
    user_data=b"#cloud-config\n",
    metadata=INSTANCE["metadata"],
    boot_roles=INSTANCE["system_metadata"]["boot_roles"],
)
REDIRECTS = ("301", "302", "303", "305", "307", "308", "circle")


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """A server with every behaviour of the table."""
    with serving() as running:
        yield running


def by_nova(nova: Nova, url: str, *, fatal: bool = False) -> Mapping[str, Any]:
    """What Nova makes of this URL, waiting one second for each read."""
    return nova.vendordata(INSTANCE, [f"target@{url}"], fatal=fatal, read_timeout=1)


def by_call(nova: Nova, url: str) -> Result:
    """What `call` makes of it, with the nova.conf of Nova's last call."""
    session = from_nova_conf(nova.configuration)
    return ask(session, Target("target", url), PAYLOAD, Limits.from_nova_conf(nova.configuration))


@pytest.mark.parametrize("name", CASES)
def test_nova_gives_the_value(nova: Nova, peer: Peer, name: str) -> None:
    """With failures not fatal, Nova puts the value of the table under the name, or raises all the same."""
    case = CASES[name]
    outcome = by_nova(nova, peer.url + path(name))
    if case.always:
        assert case.raises == outcome["error"]["class"]
    else:
        assert {"target": case.value} == outcome["value"]


@pytest.mark.parametrize("name", CASES)
def test_call_agrees_when_failures_are_fatal(nova: Nova, peer: Peer, name: str) -> None:
    """With failures fatal, Nova raises the class, and with the text, that `call` names; or it gives the same value."""
    outcome = by_nova(nova, peer.url + path(name), fatal=True)
    result = by_call(nova, peer.url + path(name))
    raised = outcome.get("error", {"class": None, "message": None})
    assert (CASES[name].raises, CASES[name].raises) == (raised["class"], result.raises)
    assert (raised["message"] and one_line(raised["message"])) == result.error
    if CASES[name].raises is None:
        assert json.dumps(outcome["value"]) == result.entry


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirects(nova: Nova, peer: Peer, name: str) -> None:
    """Both follow redirects, to the same answer and with as many requests."""
    peer.received.clear()
    outcome = by_nova(nova, f"{peer.url}/{name}")
    requests = [request.path for request in peer.received]
    peer.received.clear()
    assert outcome["value"] == {"target": by_call(nova, f"{peer.url}/{name}").value}
    assert requests == [request.path for request in peer.received]


def test_a_refused_token_costs_two_requests(nova: Nova, peer: Peer) -> None:
    """Both answer a 401 with a new token, and once."""
    peer.received.clear()
    by_nova(nova, f"{peer.url}/401")
    assert 2 == len(peer.received)
    by_call(nova, f"{peer.url}/401")
    assert 4 == len(peer.received)
    assert 4 == len({request.headers["X-Auth-Token"] for request in peer.received})


def test_the_requests_are_the_same(nova: Nova, peer: Peer) -> None:
    """The server sees no difference between Nova and `call`, but the token."""
    peer.received.clear()
    by_nova(nova, f"{peer.url}/object")
    by_call(nova, f"{peer.url}/object")
    for request in peer.received:
        assert 150 < len(request.headers.pop("X-Auth-Token"))
    assert peer.received[0] == peer.received[1]
