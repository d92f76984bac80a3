"""The jobs of ``examples/jobs`` that ask OpenStack, with the real Nova and Keystone and the least privilege."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import yaml

from examples.jobs.test_attestation import claims_of, pem
from examples.jobs.test_ssh_keys import KEYS, portal
from tests.cloud.story import Instance
from tests.support.cloud.cloud import Cloud
from tests.support.serving import free_port, serving
from vendorsrv.nova.client import Target, ask
from vendorsrv.nova.payload import build_payload
from vendorsrv.testing import FakeUpstream

HANDLERS = ("attestation:Attestation", "hardening:Hardening", "ssh_keys:SshKeys")
RACKS = {"compute-1": "b6", "compute-2": "b7"}


def configuration(cloud: Cloud, folder: Path, options: dict[str, dict[str, str]]) -> Path:
    """Write the configuration of another server for the cloud."""
    parser = ConfigParser(interpolation=None)
    parser.read(cloud.configuration / "vendorsrv.conf")
    handlers = ",".join(f"examples.jobs.{each}" for each in HANDLERS)
    own = {"port": "0", "admin_port": "0", "handlers": handlers, "state_path": str(folder)}
    parser.read_dict({**options, "vendorsrv": {**own, **options["vendorsrv"]}})
    path = folder / "vendorsrv.conf"
    path.touch(0o600)
    with path.open("w") as file:
        parser.write(file)
    return path


def test_the_jobs_know_an_instance_of_the_cloud(cloud: Cloud, tmp_path: Path) -> None:
    """A reader of the domain may ask for an instance's interfaces, and sees on which compute host it is."""
    server = Instance(cloud, "bob", "j1", config_drive=False).server
    known = cloud.admin.compute.get_server(server.id)
    (tmp_path / "key.pem").write_bytes(pem())
    hosts = {name: {"rack": rack, "sshd_config": "MaxAuthTries 3"} for name, rack in RACKS.items()}
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(hosts))
    port = free_port()
    with FakeUpstream(reply=portal) as upstream:
        options = {
            "vendorsrv": {"port": str(port)},
            "handler:attestation": {"issuer": "lab", "key_file": str(tmp_path / "key.pem")},
            "handler:hardening": {"inventory": str(tmp_path / "inventory.yaml")},
            "handler:ssh-keys": {"url": upstream.base, "token": "secret"},
        }
        with serving(configuration(cloud, tmp_path, options), port) as process, process.client() as client:
            process.wait_until_answers()
            nova = cloud.keystone.session("nova", cloud.kept.password, "service")
            body = build_payload(instance_id=server.id, project_id=known.project_id)
            called = ask(nova, Target("all", f"http://127.0.0.1:{port}/"), body)
            assert 200 == called.status, called.error
            answers = called.value
            claims = claims_of(answers["attestation"]["statement"], client.get("/.well-known/jwks.json").json())
    assert (server.id, known.project_id) == (claims["sub"], claims["project_id"])
    assert [] == claims["mac_addresses"]  # the lab's instances are in no network
    assert {"rack": RACKS[known.compute_host]} == answers["hardening"]
    assert KEYS == answers["ssh-keys"]
