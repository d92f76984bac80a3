"""What becomes of instances while the server of vendorsrv is stopped, and of what is kept when an instance is gone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from openstack.exceptions import ResourceFailure

from tests.cloud.story import NOTHING, Instance, mail_server
from tests.support.cloud.cloud import Cloud
from tests.support.cloud.service import PATIENCE
from tests.support.cloud.setup import BIN
from tests.support.waiting import wait_until


@pytest.fixture
def fatal(cloud: Cloud) -> Iterator[Cloud]:
    """The cloud with ``vendordata_dynamic_failure_fatal``."""
    asking = ("nova-metadata", *cloud.hosts)
    cloud.restart(*asking, is_fatal=True)
    yield cloud
    cloud.restart(*asking, is_fatal=False)


def pins(cloud: Cloud, *arguments: str) -> str:
    """Return what ``vendorsrv pins`` prints for the cloud's server."""
    config = cloud.configuration / "vendorsrv.conf"
    command = [str(BIN / "vendorsrv"), "pins", *arguments, "--config-file", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def has_failed(cloud: Cloud, instance: Instance, name: str) -> bool:
    """Return whether an action, which Nova ends where it began, has failed."""
    compute = cloud.admin.compute
    actions = [action for action in compute.server_actions(instance.server) if action.action == name]
    events = compute.get_server_action(actions[0].request_id, instance.server).events if actions else []
    return any(event["result"] == "Error" for event in events)


def test_a_failure_that_is_not_fatal_leaves_nothing(cloud: Cloud) -> None:
    """An instance boots without its data, and the drive stays so; the metadata service has them as soon as it can."""
    mx = Instance(cloud, "alice", "mx6")
    compute = cloud.connect("alice").compute
    cloud.stop("vendorsrv")
    try:
        late = Instance(cloud, "alice", "mx7")
        assert (NOTHING, NOTHING) == (late.drive(), late.metadata())
        compute.rebuild_server(mx.server, name="mx6", image=mx.server.image.id)
        mx.wait("ACTIVE")
        assert NOTHING == mx.drive()
    finally:
        cloud.start("vendorsrv")
    assert (NOTHING, mail_server("mx7")) == (late.drive(), late.metadata()["mailserver"])
    compute.rebuild_server(mx.server, name="mx6", image=mx.server.image.id)
    mx.wait("ACTIVE")
    assert mail_server("mx6") == mx.drive()["mailserver"]


def test_a_fatal_failure_stops_the_boot(fatal: Cloud) -> None:
    """No instance boots, is rebuilt or is unshelved without its data, and all can be done again."""
    compute = fatal.connect("alice").compute
    rebuilt, shelved = (Instance(fatal, "alice", name) for name in ("mx8", "mx9"))
    read = Instance(fatal, "alice", "mx10", config_drive=False)
    compute.shelve_server(shelved.server)
    shelved.wait("SHELVED_OFFLOADED")
    image = rebuilt.server.image.id
    fatal.stop("vendorsrv")
    try:
        with pytest.raises(ResourceFailure, match="ERROR"):
            Instance(fatal, "alice", "mx11")
        assert (500, 200) == (
            fatal.metadata(read.server).status_code,
            fatal.metadata(read.server, "meta_data.json").status_code,
        )
        compute.rebuild_server(rebuilt.server, name="mx8", image=image)
        rebuilt.wait("ERROR")
        compute.unshelve_server(shelved.server)
        wait_until(lambda: has_failed(fatal, shelved, "unshelve"), PATIENCE)
        shelved.wait("SHELVED_OFFLOADED")
    finally:
        fatal.start("vendorsrv")
    assert mail_server("mx10") == read.metadata()["mailserver"]
    compute.rebuild_server(rebuilt.server, name="mx8", image=image)
    rebuilt.wait("ACTIVE")
    compute.unshelve_server(shelved.server)
    shelved.wait("ACTIVE")
    assert (mail_server("mx8"), mail_server("mx9")) == (rebuilt.drive()["mailserver"], shelved.drive()["mailserver"])


def test_nothing_is_left_of_a_deleted_instance(cloud: Cloud) -> None:
    """Nova serves it for some seconds more; then its data are gone everywhere, once its pins are forgotten."""
    mx = Instance(cloud, "alice", "mx12")
    folder = cloud.folder / mx.host / "instances" / mx.server.id
    assert mail_server("mx12") == mx.metadata()["mailserver"]
    assert mx.server.id in pins(cloud, "list")
    cloud.connect("alice").compute.delete_server(mx.server)
    cloud.admin.compute.wait_for_delete(mx.server, interval=1, wait=int(PATIENCE))
    wait_until(lambda: cloud.metadata(mx.server).status_code == 404, PATIENCE)
    assert not folder.exists()
    pins(cloud, "forget", "--yes", mx.server.id)
    assert mx.server.id not in pins(cloud, "list")
