"""What the tests with a whole OpenStack do and look at."""

from __future__ import annotations

import json
from typing import Any, Final

from openstack.compute.v2.server import Server

from tests.support.cloud.cloud import Cloud
from tests.support.cloud.service import PATIENCE
from tests.support.waiting import wait_until

#: The roles of alice and of bob, with those that Keystone implies.
MAIL_ADMIN: Final = ["mail-admin", "member", "reader"]
MEMBER: Final = ["member", "reader"]
#: What the instances of others have in their vendor_data2.json, and those of whom vendorsrv could not be asked for.
NOTHING: Final[dict[str, Any]] = {"static": {}, "mailserver": {}, "cloud-init": {}, "recorder": {}}


def mail_server(name: str) -> dict[str, str]:
    """Return what a mail server of this name has there."""
    return {
        "role": "mail-server",
        "domain": "example.org",
        "hostname": f"{name}.example.org",
        "relayhost": "relay.example.org",
    }


def without_facts(data: dict[str, Any]) -> dict[str, Any]:
    """Return what all targets but ``where`` have."""
    return {target: value for target, value in data.items() if target != "where"}


class Instance:
    """A server, and what Nova asks about it meanwhile.

    :param user: who boots it, with a config drive unless ``options`` say otherwise.
    """

    def __init__(self, cloud: Cloud, user: str, name: str, **options: Any) -> None:
        self.cloud = cloud
        self.server = cloud.boot(user, name, **{"config_drive": True, **options})
        self.seen = 0

    @property
    def host(self) -> str:
        """The compute that has it."""
        return str(self.get().compute_host)

    def get(self) -> Server:
        """Return it as Nova shows it now."""
        return self.cloud.admin.compute.get_server(self.server)

    def asked(self, roles: list[str] = MAIL_ADMIN) -> tuple[int, set[str]]:
        """Return how often Nova has asked since the last time, with these roles, and about which images."""
        lines = self.cloud.asked(self.server)
        new, self.seen = lines[self.seen :], len(lines)
        assert [roles] * len(new) == [line["roles"] for line in new]
        return len(new), {line["image"] for line in new}

    def wait(self, status: str) -> None:
        """Return when it has this status, and no task."""

        def has_status() -> bool:
            server = self.get()
            assert server.status in {status, "REBUILD"} or server.status != "ERROR", server.fault
            return bool(server.status == status and server.task_state is None)

        wait_until(has_status, PATIENCE)

    def drive(self) -> dict[str, Any]:
        """Return the ``vendor_data2.json`` of its config drive, without the facts."""
        return without_facts(json.loads(self.cloud.drive(self.server)))

    def metadata(self) -> dict[str, Any]:
        """Return the ``vendor_data2.json`` that its guest reads at the metadata service, without the facts."""
        answer = self.cloud.metadata(self.server)
        assert 200 == answer.status_code
        return without_facts(answer.json())
