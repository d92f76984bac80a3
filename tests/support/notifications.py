"""Nova's notifications, as Nova 34 sends them."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

TIME: Final = "2026-11-27 14:43:42.123456"
NUMBERS: Final = itertools.count()
#: What an unversioned notification says of an instance beside its id, its project and its end.
UNVERSIONED: Final = {
    **dict.fromkeys(("access_ip_v4", "access_ip_v6", "architecture", "cell_name", "os_type", "progress"), ""),
    **dict.fromkeys(("kernel_id", "ramdisk_id"), ""),
    "availability_zone": "nova",
    "created_at": "2026-11-27 14:43:12+00:00",
    "disk_gb": 1,
    "display_name": "web-1",
    "ephemeral_gb": 0,
    "host": "compute-1",
    "hostname": "web-1",
    "image_meta": {"min_disk": "1"},
    "image_ref_url": "",
    "instance_flavor_id": "1",
    "instance_type": "m1.small",
    "instance_type_id": 1,
    "launched_at": "",
    "memory_mb": 64,
    "metadata": {},
    "node": "compute-1",
    "reservation_id": "r-1",
    "root_gb": 1,
    "vcpus": 1,
    "state_description": "",
    "user_id": "a11ce",
}


def unversioned(event: str, instance_id: object, *, deleted: bool = True, state: str = "deleted") -> dict[str, Any]:
    """Return ``compute.instance.<event>``."""
    gone = {
        "deleted_at": "2026-11-27T14:43:42.000000" if deleted else "",
        "terminated_at": "2026-11-27T14:43:41.000000",
    }
    payload = {**UNVERSIONED, **gone, "instance_id": instance_id, "tenant_id": "0b9d", "state": state}
    return message(f"compute.instance.{event}", payload, "compute.compute-1")


def versioned(event: str, instance_id: object, *, deleted: bool = True, state: str = "deleted") -> dict[str, Any]:
    """Return ``instance.<event>``."""
    data = {
        "uuid": instance_id,
        "tenant_id": "0b9d",
        "user_id": "a11ce",
        "host": "compute-1",
        "node": "compute-1",
        "host_name": "web-1",
        "display_name": "web-1",
        "state": state,
        "task_state": None,
        "metadata": {},
        "terminated_at": "2026-11-27T14:43:41Z",
        "deleted_at": "2026-11-27T14:43:42Z" if deleted else None,
        "flavor": {"nova_object.name": "FlavorPayload", "nova_object.data": {"name": "m1.small"}},
    }
    named = {"nova_object.name": "InstanceActionPayload", "nova_object.namespace": "nova", "nova_object.version": "1.9"}
    return message(f"instance.{event}", {**named, "nova_object.data": data}, "nova-compute:compute-1")


def message(event_type: str, payload: Any, publisher: str) -> dict[str, Any]:
    """Return a notification of any service."""
    return {
        "message_id": f"message-{next(NUMBERS)}",
        "_unique_id": f"unique-{next(NUMBERS)}",
        "timestamp": TIME,
        "event_type": event_type,
        "payload": payload,
        "publisher_id": publisher,
        "priority": "INFO",
        "_context_roles": ["admin", "member"],
        "_context_auth_token": None,
        "_context_project_id": "0b9d",
    }


def envelope(sent: dict[str, Any]) -> dict[str, str]:
    """Return a notification as it is on the wire."""
    return {"oslo.version": "2.0", "oslo.message": json.dumps(sent)}
