"""The server that the field runs (tests/support/wsgi_server.py); what Nova gets from it is in table_good."""

from __future__ import annotations

import httpx
import pytest

from tests.support.keystone import Keystone
from tests.support.peers.server import BODY, JSON


@pytest.fixture(params=["gunicorn", "waitress"])
def url(request: pytest.FixtureRequest) -> str:
    """Where each of the two servers has it."""
    return str(request.getfixturevalue(f"wsgi_on_{request.param}"))


def test_without_a_token(url: str) -> None:
    """A request without a token is refused by keystonemiddleware."""
    response = httpx.post(url, content=BODY, headers=JSON, timeout=60)
    assert 401 == response.status_code
    assert response.headers["WWW-Authenticate"].startswith("Keystone uri=")


def test_tokens_are_cached(url: str, nova_token: str, keystone: Keystone) -> None:
    """Each token is validated once."""
    headers = {**JSON, "X-Auth-Token": nova_token}
    httpx.post(url, content=BODY, headers=headers, timeout=60)
    asked = keystone.requests("GET", "/v3/auth/tokens")
    httpx.post(url, content=BODY, headers=headers, timeout=60)
    assert asked == keystone.requests("GET", "/v3/auth/tokens")


def test_its_errors(url: str, nova_token: str) -> None:
    """Its errors have the exception's text."""
    response = httpx.post(url, content=b"{}", headers={**JSON, "X-Auth-Token": nova_token}, timeout=60)
    assert (500, "Server error while processing request: 'boot-roles'") == (response.status_code, response.text)
