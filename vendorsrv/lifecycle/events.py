"""Which of Nova's notifications say that an instance is gone.

Nova sends the end of a delete in both formats, from nova-compute, or from nova-api where no compute host is needed or
none answers. It sends it as well when the delete has failed in nova-api (``notify_about_instance_delete`` of
``nova/compute/utils.py``); then the instance has no time of its deletion. A shutdown, a shelve, an evacuation and a
failed build are no delete, and neither is a soft delete, which can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from vendorsrv.request import UUID

#: Unversioned; the second is a forced delete, or the end of a soft delete, without nova-compute.
UNVERSIONED: Final = frozenset({"compute.instance.delete.end", "compute.instance.force_delete.end"})
VERSIONED: Final = frozenset({"instance.delete.end"})


class MalformedEvent(Exception):
    """What should say which instance is gone does not."""


class Gone(NamedTuple):
    """An instance that is gone."""

    instance_id: str
    project_id: str | None


def gone_in(event_type: object, payload: Any) -> Gone | None:
    """Return the instance that is gone by a notification; None if it says something else.

    :raises MalformedEvent: it is the end of a delete, and does not say of what.
    """
    if event_type in UNVERSIONED:
        member, data = "instance_id", payload
    elif event_type in VERSIONED:
        member, data = "uuid", payload.get("nova_object.data") if isinstance(payload, Mapping) else None
    else:
        return None
    instance_id = data.get(member) if isinstance(data, Mapping) else None
    if not (isinstance(instance_id, str) and UUID.fullmatch(instance_id)):
        raise MalformedEvent(f"{event_type} without the id of an instance")
    if not data.get("deleted_at"):
        return None
    project_id = data.get("tenant_id")
    return Gone(instance_id, project_id if isinstance(project_id, str) else None)
