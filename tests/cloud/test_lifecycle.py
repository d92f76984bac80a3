"""Deletes of the real Nova, as `vendorsrv listen` hears of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openstack.compute.v2.server import Server
from openstack.exceptions import SDKException

from tests.cloud.story import Instance
from tests.support.cloud.cloud import Cloud
from tests.support.cloud.service import PATIENCE
from tests.support.listening import listening, notes_of
from tests.support.serving import free_port, section
from tests.support.waiting import wait_until
from vendorsrv.cli.main import main
from vendorsrv.nova.client import Target, ask
from vendorsrv.nova.payload import build_payload

LEAVING = "tests.support.handlers.leaving:Leaving"


def write_listener(cloud: Cloud, folder: Path) -> Path:
    """Write the configuration of a listener beside the cloud's server, on its database, with one more handler."""
    path = folder / "vendorsrv.conf"
    path.touch(0o600)
    text = (cloud.configuration / "vendorsrv.conf").read_text()
    path.write_text(
        text.replace("handlers = ", f"handlers = {LEAVING}, ")
        + section("handler:leaving", {"notes": folder / "notes"})
        + section("lifecycle", {"transport_url": cloud.stores.bus, "metrics_port": free_port()})
    )
    return path


def pins_of(config: Path, instance: str) -> Any:
    """Return the pins of an instance."""
    return json.loads(
        CliRunner().invoke(main, ["pins", "show", instance, "--json", "--config-file", str(config)]).stdout
    )


def boot_nowhere(cloud: Cloud, name: str) -> Server:
    """Return a server that no host can take, so that nova-api deletes it alone."""
    compute = cloud.admin.compute
    huge = compute.find_flavor("huge") or compute.create_flavor(name="huge", ram=10**6, vcpus=1, disk=1)
    with pytest.raises(SDKException):
        cloud.boot("alice", name, flavor_id=huge.id)
    server: Server = compute.find_server(name, ignore_missing=False, all_projects=True)
    return server


def test_a_delete_calls_handlers_once_and_forgets_the_instance(cloud: Cloud, tmp_path: Path) -> None:
    """Nova's delete, in both formats, of an instance and of one that no host could take, calls `deleted` once each."""
    config = write_listener(cloud, tmp_path)
    with listening(config) as listener:
        listener.wait_for("Reading notifications of transport")
        instance, other = (Instance(cloud, "alice", name).server for name in ("l1", "l2"))
        assert [each["handler"] for each in pins_of(config, instance.id)]
        nowhere = boot_nowhere(cloud, "l3")
        assert [] == notes_of(config)
        for each in (instance, nowhere):
            cloud.admin.compute.delete_server(each)
        wait_until(lambda: len(notes_of(config)) == 2, PATIENCE)
        wait_until(lambda: listener.counted("vendorsrv_deletions_total").total() == 4)
        wait_until(lambda: 'outcome="known",transport="0"' in listener.counted("vendorsrv_notifications_total"))
        assert sorted([[instance.id, None], [nowhere.id, None]]) == sorted(notes_of(config))
        assert 0 == listener.end()
    assert [] == pins_of(config, instance.id)
    assert [each["handler"] for each in pins_of(config, other.id)]

    nova = cloud.keystone.session("nova", cloud.kept.password, "service")
    body = build_payload(instance_id=instance.id, project_id=instance.project_id)
    assert 410 == ask(nova, Target("mailserver", f"{cloud.url('vendorsrv')}/mailserver"), body).status
    assert "Traceback" not in listener.log.read_text()
