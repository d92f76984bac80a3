"""What becomes of an instance whose handler has no answer: by ``on_error``, and by how Nova is configured and asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from vendorsrv.handler import OnError

#: What Nova gets from us.
Answered = Literal["error", "{}", "earlier answer"]
#: Who asks: nova-compute for a config drive, or nova-api-metadata for the metadata service.
Way = Literal["config drive", "metadata service"]
WAYS: Final[tuple[Way, ...]] = ("config drive", "metadata service")


@dataclass(frozen=True, slots=True)
class Mode:
    """What a handler answers when it fails.

    :ivar when: for a mode in which that depends on it, whether there is an earlier answer for the instance.
    """

    on_error: OnError
    when: str
    answered: Answered


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell of the table.

    :ivar fatal: Nova's ``[api] vendordata_dynamic_failure_fatal``.
    :ivar raises: whether Nova's vendordata client raises; otherwise it goes on with ``{}`` or our answer.
    :ivar state: the instance's, as ``openstack server show`` has it.
    :ivar sees: what the guest finds, or the tenant.
    """

    mode: Mode
    fatal: bool
    way: Way
    raises: bool
    state: Literal["ACTIVE", "ERROR"]
    sees: str

    def __str__(self) -> str:
        return f"{self.state}: {self.sees}"


#: A pinning handler whose store is away always answers the error, whatever its mode.
MODES: Final = (
    Mode(OnError.FAIL, "", "error"),
    Mode(OnError.EMPTY, "", "{}"),
    Mode(OnError.STALE, "there is an earlier answer", "earlier answer"),
    Mode(OnError.STALE, "there is none", "error"),
)

HOW_LONG: Final = {"config drive": "on the drive, for good", "metadata service": "at this read"}


def outcome(mode: Mode, way: Way, *, fatal: bool) -> Outcome:
    """Say what becomes of the instance (``nova/api/metadata/base.py``, ``nova/virt/configdrive.py``).

    A config drive is built once, and on up to three hosts when that fails; the metadata service asks at each read.
    """
    if mode.answered != "error" or not fatal:
        found = "{}" if mode.answered == "error" else mode.answered
        return Outcome(mode, fatal, way, raises=False, state="ACTIVE", sees=f"{found} {HOW_LONG[way]}")
    if way == "config drive":
        return Outcome(mode, fatal, way, raises=True, state="ERROR", sees="our message, after up to three hosts")
    return Outcome(mode, fatal, way, raises=True, state="ACTIVE", sees="this read of vendor_data2.json fails")


OUTCOMES: Final = tuple(outcome(mode, way, fatal=fatal) for mode in MODES for fatal in (False, True) for way in WAYS)


def table() -> list[tuple[str, ...]]:
    """Give the table as rows of text, the headings first; a mode that Nova's option does not matter to has one."""
    rows: list[tuple[str, ...]] = [("on_error", "when", "fatal", *WAYS)]
    for mode in MODES:
        name = (mode.on_error.value, mode.when or "always")
        off, on = (tuple(str(outcome(mode, way, fatal=fatal)) for way in WAYS) for fatal in (False, True))
        rows += [(*name, "off or on", *off)] if off == on else [(*name, "off", *off), (*name, "on", *on)]
    return rows
