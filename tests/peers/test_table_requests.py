"""What a server is asked: Nova's own class, `call`, and either through our proxy cannot be told apart by it."""

from __future__ import annotations

import pytest

from tests.support.peers.table import TABLE
from tests.support.peers.ways import Ways
from vendorsrv.testing.upstream import Received

REDIRECTS = {"301": 2, "302": 2, "303": 2, "305": 2, "307": 2, "308": 2, "circle": 31}


def asked_by_nova(ways: Ways, name: str) -> list[Received]:
    """Return the requests that one call of Nova's came to."""
    before = len(ways.peer.received)
    ways.by_nova(TABLE[f"misbehaving: {name}"], "directly", fatal=False)
    return ways.peer.received[before:]


def asked_by_call(ways: Ways, name: str) -> list[Received]:
    """Return those of `call`."""
    before = len(ways.peer.received)
    ways.by_call(TABLE[f"misbehaving: {name}"], "directly")
    return ways.peer.received[before:]


def headers_of(received: Received) -> dict[str, str]:
    """Return the headers, whose names have no case; the token is only said to be there."""
    headers = {name.lower(): value for name, value in received.headers.items()}
    assert 150 < len(headers.pop("x-auth-token"))
    return headers


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirects(ways: Ways, name: str) -> None:
    """Redirects are followed with body and token, at most 30 times."""
    by_nova, by_call = asked_by_nova(ways, name), asked_by_call(ways, name)
    assert REDIRECTS[name] == len(by_nova)
    assert [each.path for each in by_nova] == [each.path for each in by_call]
    assert {by_nova[0].body} == {each.body for each in by_nova + by_call}
    assert all("X-Auth-Token" in each.headers for each in by_nova + by_call)


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirects_through_a_proxy(ways: Ways, name: str) -> None:
    """A redirect ends at the proxy: no second server is called."""
    before = len(ways.peer.received)
    ways.by_nova(TABLE[f"misbehaving: {name}"], "through a proxy", fatal=False)
    assert 1 == len(ways.peer.received) - before


def test_a_refused_token_costs_two_requests(ways: Ways) -> None:
    """A 401 brings a second request with a new token; through the proxy it is not a 401, and brings none."""
    requests = asked_by_nova(ways, "401") + asked_by_call(ways, "401")
    assert 4 == len({each.headers["X-Auth-Token"] for each in requests}) == len(requests)
    before = len(ways.peer.received)
    ways.by_nova(TABLE["misbehaving: 401"], "through a proxy", fatal=False)
    assert 1 == len(ways.peer.received) - before


def test_the_requests_are_the_same(ways: Ways) -> None:
    """The requests of Nova and of `call` differ in the token only."""
    [by_nova], [by_call] = asked_by_nova(ways, "object"), asked_by_call(ways, "object")
    assert (by_nova.body, headers_of(by_nova)) == (by_call.body, headers_of(by_call))


def test_the_proxy_sends_the_same_request(ways: Ways) -> None:
    """The proxy sends the same headers, body and token, with our request id."""
    [direct] = asked_by_nova(ways, "object")
    ways.by_nova(TABLE["misbehaving: object"], "through a proxy", fatal=False)
    proxied = ways.peer.received[-1]
    headers = headers_of(proxied)
    assert headers.pop("x-openstack-request-id").startswith("req-")
    assert (direct.body, headers_of(direct)) == (proxied.body, headers)
    assert direct.headers["X-Auth-Token"] == next(
        value for name, value in proxied.headers.items() if name.lower() == "x-auth-token"
    )
