"""The fake cloud shows to each token what a real one would, and to no token anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from vendorsrv.testing import FakeCloud, Received, Reply

LOGIN: dict[str, Any] = {"identity": {"password": {"user": {"name": "vendorsrv", "password": "vendorsrv-password"}}}}


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    """A cloud."""
    with FakeCloud() as running:
        yield running


def get(cloud: FakeCloud, path: str, project: str | None = "0b9d") -> httpx.Response:
    """Ask with a token for a project, or without one."""
    headers = {}
    if project:
        scope = {"scope": {"project": {"id": project}}}
        made = httpx.post(f"{cloud.base}/identity/v3/auth/tokens", json={"auth": {**LOGIN, **scope}})
        headers["X-Auth-Token"] = made.headers["X-Subject-Token"]
    return httpx.get(f"{cloud.base}{path}", headers=headers)


def test_who_has_no_token_sees_nothing(cloud: FakeCloud) -> None:
    """Without a token every service answers 401; a wrong password gets none."""
    paths = ("/compute/v2.1/servers/i", "/image/v2/images/i", "/identity/v3/projects/i")
    assert [401] * 3 == [get(cloud, path, None).status_code for path in paths]
    login = {"identity": {"password": {"user": {"name": "vendorsrv", "password": "wrong"}}}}
    assert 401 == httpx.post(f"{cloud.base}/identity/v3/auth/tokens", json={"auth": login}).status_code


def test_what_there_is_not(cloud: FakeCloud) -> None:
    """A path that no service has is 404."""
    assert 404 == get(cloud, "/compute/v2.1/flavors").status_code


def test_routes_answer_what_handlers_ask_beside_facts(cloud: FakeCloud) -> None:
    """A route is a reply, or a function of the request."""

    def flavors(received: Received) -> Reply:
        return Reply(received.method.encode())

    cloud.routes |= {"GET /compute/v2.1/flavors": flavors, "GET /image/v2/images": Reply(b"[]")}
    assert ("GET", "[]") == (get(cloud, "/compute/v2.1/flavors").text, get(cloud, "/image/v2/images").text)


def test_facts_have_the_names_of_the_api(cloud: FakeCloud) -> None:
    """A fact that a test gives by openstacksdk's name is shown by the API's."""
    cloud.facts["server"] = {"availability_zone": "az1"}
    cloud.facts["image"] = {"owner_id": "o", "properties": {"os_distro": "rhel"}}
    server, image = get(cloud, "/compute/v2.1/servers/i").json()["server"], get(cloud, "/image/v2/images/i").json()
    assert ("az1", "0b9d", "i") == (server["OS-EXT-AZ:availability_zone"], server["tenant_id"], server["id"])
    assert ("o", "rhel", "i") == (image["owner"], image["os_distro"], image["id"])
    assert "OS-EXT-SRV-ATTR:host" not in server
