"""The cloud that these tests share: it takes half a minute to start, and is kept between runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import real_peers as peers
from tests.support.cloud.cloud import Cloud
from tests.support.cloud.service import ROOT


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A cloud with two computes, without servers of earlier runs."""
    for name in ("keystone", "nova", "glance"):
        peers.require(name, f"no {name}: make test-cloud installs it")
    with Cloud(ROOT / ".cache/cloud/test", ["compute-1", "compute-2"]) as running:
        for server in running.admin.compute.servers(all_projects=True):
            running.admin.compute.delete_server(server, force=True)
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let openstacksdk warn of how it uses itself."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"))
