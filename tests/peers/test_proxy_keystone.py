"""Proxies in front of a server that validates real tokens: our own, standing for any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.keystone import TENANT, VENDORSRV, Keystone
from tests.support.peers.server import Server
from tests.support.serving import run
from vendorsrv.auth.service import ServiceToken

ANSWER = {
    "project_id": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e",
    "image_id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
    "hostname": "mail-1",
    "metadata": {"tier": "gold"},
    "boot_roles": ["member", "reader"],
    "user_data": [14, "88c95955b024402aa9572b663f7eeb134f01343bb92af27b50e97e72b22c565f"],
}


def account(keystone: Keystone, user: str, password: str, project: str) -> dict[str, object]:
    """Return keystoneauth's options."""
    return {
        "auth_type": "password",
        "auth_url": keystone.url,
        "username": user,
        "password": password,
        "project_name": project,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }


@pytest.fixture(scope="module")
def front(keystone: Keystone, served: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose proxies are known to the other one in every way, and not at all."""
    url: dict[str, Any] = {"url": f"{served.url}/received"}
    options: dict[str, dict[str, Any]] = {
        "vendorsrv": {"handlers": ""},
        "proxy:relay": {**url, "auth": "relay", "relay_hosts": "127.0.0.1"},
        "proxy:own": {**url, "auth": "service", **account(keystone, *VENDORSRV)},
        "proxy:shared": {**url, "auth": "service", "auth_section": "keystone_authtoken"},
        "proxy:tenant": {**url, "auth": "service", "auth_section": "tenant"},
        "proxy:nobody": url,
        "tenant": account(keystone, *TENANT),
    }
    with Server(tmp_path_factory.mktemp("front"), keystone, options) as server:
        yield server


@pytest.mark.parametrize("name", ["relay", "own", "shared"])
def test_tokens_that_are_accepted(front: Server, nova_token: str, name: str) -> None:
    """The upstream accepts Nova's relayed token and those of our own account, wherever it is configured."""
    response = front.post(f"/{name}", nova_token)
    assert (200, ANSWER) == (response.status_code, response.json())


@pytest.mark.parametrize(("name", "status"), [("tenant", 403), ("nobody", 401)])
def test_tokens_that_are_refused(front: Server, nova_token: str, name: str, status: int) -> None:
    """The upstream's refusal of a token is reported with its status."""
    response = front.post(f"/{name}", nova_token)
    assert (502, "upstream_refused") == (response.status_code, response.json()["error"]["code"])
    assert f"upstream {name} answered with status {status}" == response.json()["error"]["message"]


def test_the_policy_applies_before_the_proxy(front: Server, tenant_token: str) -> None:
    """A caller whom the policy refuses does not reach the upstream with the proxy's own token."""
    assert 403 == front.post("/own", tenant_token).status_code


def test_a_revoked_token_is_replaced(keystone: Keystone) -> None:
    """A revoked token of our own account is replaced by a new one."""

    async def story() -> tuple[str, str]:
        token = ServiceToken(keystone.session(*VENDORSRV), "upstream rack")
        first = await token.get()
        keystone.revoke(first)
        return first, await token.get(refused=first)

    first, second = run(story())
    assert (False, True) == (keystone.accepts(first), keystone.accepts(second))
