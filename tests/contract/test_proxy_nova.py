"""Nova's own client, directly and through a proxy: it cannot tell good servers apart, and gets better of bad ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.contract.nova import INSTANCE, Nova
from tests.contract.server import Server
from tests.keystone import Keystone
from tests.misbehaviour import CASES, Peer, body, path, serving
from tests.proxied import PASSED, REFUSED, name_of

#: Answers whose bytes a parser and a new encoder would change.
GOOD = {
    "spacing": b' {"a" : [1,2 ,3],\n\t"b":{} } ',
    "order": b'{"z": 1, "a": 2, "m": {"y": 1, "b": 2}}',
    "numbers": b"[1.0, 1e2, -0.0, 12345678901234567890, 0.1, 1E+2, 1.10]",
    "escapes": b'"\\u00fc \\/ \\ud83d\\udcee \\u0000"',
    "text": '{"\u043a": "\U0001f4ee"}'.encode(),
    "cloud-config": b'{"cloud-init": "#cloud-config\\nruncmd: []\\n"}',
}


class Ways(NamedTuple):
    """The two ways to a server."""

    peer: Peer
    server: Server

    def targets(self, name: str) -> tuple[str, str]:
        """Give Nova's target for a server of the peer, and for the proxy in front of it."""
        return f"target@{self.peer.url}{path(name)}", f"target@{self.server.url}/{name_of(name)}"


@pytest.fixture(scope="module")
def ways(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """A server with every behaviour, and ours with a proxy in front of each; it validates real tokens."""
    with serving() as peer:
        peer.routes |= {f"/good-{name}": body(text) for name, text in GOOD.items()}
        names = [*CASES, *(f"good-{name}" for name in GOOD)]
        proxies = {
            f"proxy:{name_of(name)}": {
                "url": peer.url + path(name),
                "timeout": 2,
                "read_timeout": 0.6,
                "auth": "relay",
                "relay_hosts": "127.0.0.1",
            }
            for name in names
        }
        with Server(tmp_path_factory.mktemp("proxies"), keystone, {**proxies, "vendorsrv": {"handlers": ""}}) as server:
            yield Ways(peer, server)


def ask(nova: Nova, target: str, *, fatal: bool = False) -> dict[str, Any]:
    """Let Nova ask, with three seconds for each read."""
    return nova.vendordata(INSTANCE, [target], fatal=fatal, read_timeout=3)


@pytest.mark.parametrize("name", [*(f"good-{name}" for name in GOOD), *PASSED])
def test_nova_cannot_tell(nova: Nova, ways: Ways, name: str) -> None:
    """The entries are the same, byte for byte, and nothing is logged; with failure fatal too."""
    direct, proxied = ways.targets(name)
    expected = ask(nova, direct)
    assert {"value", "log"} == {*expected}
    assert json.dumps(expected) == json.dumps(ask(nova, proxied)) == json.dumps(ask(nova, proxied, fatal=True))


@pytest.mark.parametrize("name", REFUSED)
def test_nova_gets_an_error_instead(nova: Nova, ways: Ways, name: str) -> None:
    """Directly some of these end up in the instance, and some raise although failures are not fatal."""
    status, message = REFUSED[name]
    _, proxied = ways.targets(name)
    assert {"target": {}} == ask(nova, proxied)["value"]
    fatal = ask(nova, proxied, fatal=True)["error"]
    assert {502: "BadGateway", 504: "GatewayTimeout"}[status] == fatal["class"]
    message = message.replace("…", name_of(name))
    assert fatal["message"].startswith(f"{message} (HTTP {status}) (Request-ID: req-")


def test_a_server_sees_the_same_request(nova: Nova, ways: Ways) -> None:
    """Headers and body, directly and through a proxy that relays the token; but for our request id."""
    for target in ways.targets("object"):
        ask(nova, target)
    direct, proxied = ways.peer.received[-2:]
    assert direct.body == proxied.body
    assert proxied.headers.pop("X-Openstack-Request-Id").startswith("req-")
    assert {name.lower(): value for name, value in direct.headers.items()} == {
        name.lower(): value for name, value in proxied.headers.items()
    }
