"""Facts of the real Nova, Glance and Keystone, looked up with the least privilege that works."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from tests.cloud.story import Instance
from tests.support.cloud.cloud import Cloud
from vendorsrv.check.run import find_all
from vendorsrv.nova.client import Target, ask
from vendorsrv.nova.payload import build_payload

FACTS = {"flavor": "tiny", "image": "tiny", "project": "demo", "zone": "nova"}


def test_facts_are_known_while_an_instance_builds(cloud: Cloud) -> None:
    """The drive of an instance of another project has them; at the metadata service it is ACTIVE."""
    building, active = (
        Instance(cloud, "bob", name, config_drive=drives) for name, drives in (("f1", True), ("f2", False))
    )
    assert {**FACTS, "status": "BUILD"} == json.loads(cloud.drive(building.server))["where"]
    assert {**FACTS, "status": "ACTIVE"} == cloud.metadata(active.server).json()["where"]


def test_an_instance_that_does_not_exist_is_refused(cloud: Cloud) -> None:
    """Who has Nova's token gets nothing for an instance that Nova does not have, or has in another project."""
    server = Instance(cloud, "bob", "f3", config_drive=False).server

    def status(instance_id: str, project_id: str) -> Any:
        body = build_payload(instance_id=instance_id, project_id=project_id)
        nova = cloud.keystone.session("nova", cloud.kept.password, "service")
        return ask(nova, Target("where", f"{cloud.url('vendorsrv')}/where"), body).status

    service = cloud.keystone.id_of("projects", "service")
    assert 403 == status(str(uuid.uuid4()), server.project_id)
    assert 403 == status(server.id, service)
    assert 200 == status(server.id, server.project_id)


def test_the_check_names_the_role_that_the_account_lacks(cloud: Cloud, tmp_path: Path) -> None:
    """`vendorsrv check --online` finds nothing wrong with a reader of the domain, and what Nova's own account lacks.

    Keystone shows a project to every token for it.
    """
    text = (cloud.configuration / "vendorsrv.conf").read_text()
    before, _, after = text.partition("[service_account]\n")

    def found(user: str) -> list[str]:
        path = tmp_path / "vendorsrv.conf"
        path.write_text(f"{before}[service_account]\n{after.replace('username = lookup', f'username = {user}', 1)}")
        path.chmod(0o600)
        findings = find_all(path, online=True)
        return [f"{each.severity}: {each.message}" for each in findings if each.section == "service_account"]

    others = "instances of all other projects are answered 503"
    assert [f"note: it has roles in 3 projects of the domains default: {others}"] == found("lookup")
    role = "openstack role add --user USER --domain {0} --inherited reader"
    where = "in the project service, where it has the roles service"
    assert [
        f"warning: it has a role in the project service only: {others}; {role.format('DOMAIN')}",
        *(f"error: {each} refuses it {where}; {role.format('default')}" for each in ("Nova", "Glance")),
    ] == found("nova")
