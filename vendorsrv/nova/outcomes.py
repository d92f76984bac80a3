"""What happens to an instance when its handler fails: by ``on_error``, Nova's configuration and the way it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from vendorsrv.declarations import OnError

#: nova-compute asks for a config drive, nova-api-metadata for the metadata service.
Way = Literal["config drive", "metadata service"]
WAYS: Final[tuple[Way, ...]] = ("config drive", "metadata service")


@dataclass(frozen=True, slots=True)
class Mode:
    """What a handler answers when it fails.

    :ivar when: whether the instance has an earlier answer; empty for a mode that does not depend on it.
    """

    on_error: OnError
    when: str
    answered: Literal["error", "{}", "earlier answer"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell of the table.

    :ivar fatal: Nova's ``[api] vendordata_dynamic_failure_fatal``.
    :ivar raises: whether Nova's vendordata client raises; otherwise it continues with ``{}`` or our answer.
    :ivar state: the instance's state, as in ``openstack server show``.
    :ivar sees: what the guest or the tenant sees.
    """

    mode: Mode
    fatal: bool
    way: Way
    raises: bool
    state: Literal["ACTIVE", "ERROR"]
    sees: str

    def __str__(self) -> str:
        return f"{self.state}: {self.sees}"


#: A pinning handler whose store is unavailable always answers with the error, whatever its mode.
MODES: Final = (
    Mode(OnError.FAIL, "", "error"),
    Mode(OnError.EMPTY, "", "{}"),
    Mode(OnError.STALE, "there is an earlier answer", "earlier answer"),
    Mode(OnError.STALE, "there is none", "error"),
)

#: The heading of what becomes of an instance after its first boot.
LIVING: Final = "an instance that lives already"

HOW_LONG: Final = {"config drive": "on the drive, for good", "metadata service": "at this read"}


def outcome(mode: Mode, way: Way, *, fatal: bool) -> Outcome:
    """Return what happens to the instance (``nova/api/metadata/base.py``, ``nova/virt/configdrive.py``).

    A config drive is built once, or on up to three hosts when building fails; the metadata service asks at each read.
    """
    if mode.answered != "error" or not fatal:
        found = "{}" if mode.answered == "error" else mode.answered
        return Outcome(mode, fatal, way, raises=False, state="ACTIVE", sees=f"{found} {HOW_LONG[way]}")
    if way == "config drive":
        sees = "vendorsrv's message, after up to three hosts"
        return Outcome(mode, fatal, way, raises=True, state="ERROR", sees=sees)
    return Outcome(mode, fatal, way, raises=True, state="ACTIVE", sees="this read of vendor_data2.json fails")


OUTCOMES: Final = tuple(outcome(mode, way, fatal=fatal) for mode in MODES for fatal in (False, True) for way in WAYS)


def of_living(mode: Mode, *, fatal: bool) -> str:
    """Return what becomes of an instance with a config drive that had its answer, when Nova builds the drive anew.

    Measured with Nova 34: the guest of before is gone when Nova asks (``nova/compute/manager.py``).
    """
    if mode.answered == "error" and fatal:
        return "ERROR at rebuild, resize, rescue and evacuate"
    found = "earlier answer" if mode.answered == "earlier answer" else "{}"
    return f"{found} on its new drive"


def table() -> list[tuple[str, ...]]:
    """Return the table as rows of text, headings first; a mode has one row when Nova's option makes no difference."""
    rows: list[tuple[str, ...]] = [("on_error", "when", "fatal", *WAYS, LIVING)]
    for mode in MODES:
        name = (mode.on_error.value, mode.when or "always")
        off, on = (
            (*(str(outcome(mode, way, fatal=fatal)) for way in WAYS), of_living(mode, fatal=fatal))
            for fatal in (False, True)
        )
        rows += [(*name, "off or on", *off)] if off == on else [(*name, "off", *off), (*name, "on", *on)]
    return rows
