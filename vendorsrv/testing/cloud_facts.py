"""What the fake Nova, Glance and Keystone know of each instance, and how their APIs name it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Of the API's names of attributes, those that differ from openstacksdk's.
API_NAMES: Final = {
    "server": {
        "project_id": "tenant_id",
        "availability_zone": "OS-EXT-AZ:availability_zone",
        "host_id": "hostId",
        "compute_host": "OS-EXT-SRV-ATTR:host",
        "hypervisor_hostname": "OS-EXT-SRV-ATTR:hypervisor_hostname",
        "instance_name": "OS-EXT-SRV-ATTR:instance_name",
        "hostname": "OS-EXT-SRV-ATTR:hostname",
        "created_at": "created",
        "launched_at": "OS-SRV-USG:launched_at",
        "task_state": "OS-EXT-STS:task_state",
        "vm_state": "OS-EXT-STS:vm_state",
        "is_locked": "locked",
    },
    "image": {"owner_id": "owner", "is_protected": "protected", "is_hidden": "os_hidden"},
    "project": {"is_enabled": "enabled"},
}
#: What Nova shows to the role admin only.
OF_ADMIN: Final = ("compute_host", "hypervisor_hostname", "instance_name")
SERVER: Final[Mapping[str, Any]] = {
    "name": "web-1",
    "status": "BUILD",
    "user_id": "id-of-alice",
    "availability_zone": "nova",
    "compute_host": "compute-1",
    "hypervisor_hostname": "compute-1",
    "instance_name": "instance-00000001",
    "hostname": "web-1",
    "key_name": None,
    "flavor": {"original_name": "m1.small", "vcpus": 1, "ram": 2048, "disk": 20, "extra_specs": {}},
    "addresses": {},
    "metadata": {},
    "tags": [],
    "server_groups": [],
    "task_state": "spawning",
    "vm_state": "building",
    "created_at": "2026-01-01T00:00:00Z",
    "launched_at": None,
    "is_locked": False,
}
IMAGE: Final[Mapping[str, Any]] = {
    "name": "debian-12",
    "status": "active",
    "visibility": "public",
    "owner_id": "id-of-images",
    "disk_format": "qcow2",
    "container_format": "bare",
    "size": 1048576,
    "min_disk": 0,
    "min_ram": 0,
    "tags": [],
    "properties": {"os_distro": "debian"},
}
PROJECT: Final[Mapping[str, Any]] = {
    "name": "demo",
    "domain_id": "default",
    "description": "",
    "is_enabled": True,
    "parent_id": "default",
    "tags": [],
    "options": {},
}
DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {"server": SERVER, "image": IMAGE, "project": PROJECT}
