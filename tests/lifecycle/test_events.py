"""Which notifications say that an instance is gone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.notifications import message, unversioned, versioned
from vendorsrv.lifecycle.events import MalformedEvent, gone_in

WRONG: tuple[Any, ...] = (None, [], "x", {}, {"nova_object.data": []})
INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"


def read(sent: dict[str, Any]) -> Any:
    """Return what a notification says."""
    return gone_in(sent["event_type"], sent["payload"])


@pytest.mark.parametrize(
    "sent",
    [
        unversioned("delete.end", INSTANCE),
        unversioned("force_delete.end", INSTANCE),
        versioned("delete.end", INSTANCE),
    ],
    ids=lambda each: each["event_type"],
)
def test_the_end_of_a_delete_is_one(sent: dict[str, Any]) -> None:
    """The end of a delete names the instance and its project, in both formats."""
    assert (INSTANCE, "0b9d") == read(sent)


@pytest.mark.parametrize("build", [unversioned, versioned])
@pytest.mark.parametrize(
    "event",
    [
        *("delete.start", "shutdown.start", "shutdown.end", "soft_delete.end", "create.error", "exists"),
        *("shelve.end", "shelve_offload.end", "rebuild.end", "evacuate.end", "resize.confirm.end", "power_off.end"),
    ],
)
def test_nothing_else_is_a_delete(build: Any, event: str) -> None:
    """Neither a shutdown, a shelve, an evacuation, a failed build nor a soft delete is the end of an instance."""
    assert read(build(event, INSTANCE)) is None


@pytest.mark.parametrize("build", [unversioned, versioned])
def test_a_delete_that_failed_is_none(build: Any) -> None:
    """Nova sends the end of a delete that failed in nova-api too; the instance has no time of its deletion then."""
    assert read(build("delete.end", INSTANCE, deleted=False, state="active")) is None


@pytest.mark.parametrize(
    "sent",
    [
        *(
            build("delete.end", wrong)
            for build in (unversioned, versioned)
            for wrong in (None, 5, "x", INSTANCE + "\n")
        ),
        *(
            message(event, payload, "x")
            for event in ("compute.instance.delete.end", "instance.delete.end")
            for payload in WRONG
        ),
    ],
)
def test_a_delete_of_nothing_is_malformed(sent: dict[str, Any]) -> None:
    """The end of a delete that does not say of what is malformed."""
    with pytest.raises(MalformedEvent, match=r"delete\.end without the id of an instance$"):
        read(sent)


@pytest.mark.parametrize("project", [None, 5, ["x"]])
def test_a_project_that_is_no_text_is_none(project: object) -> None:
    """An instance is gone although the project that the notification names is none."""
    sent = unversioned("delete.end", INSTANCE)
    sent["payload"]["tenant_id"] = project
    assert (INSTANCE, None) == read(sent)
