"""What becomes of an instance whose handler has no answer; tests/peers measures it."""

from __future__ import annotations

from vendorsrv.nova.outcomes import OUTCOMES, table

ACTIVE_WITHOUT = ("ACTIVE: {} on the drive, for good", "ACTIVE: {} at this read")
ACTIVE_WITH = ("ACTIVE: earlier answer on the drive, for good", "ACTIVE: earlier answer at this read")
FATAL = ("ERROR: our message, after up to three hosts", "ACTIVE: this read of vendor_data2.json fails")


def test_the_whole_table() -> None:
    """Only an error that reaches Nova does harm, and only with failure_fatal on."""
    assert [
        ("on_error", "when", "fatal", "config drive", "metadata service"),
        ("fail", "always", "off", *ACTIVE_WITHOUT),
        ("fail", "always", "on", *FATAL),
        ("empty", "always", "off or on", *ACTIVE_WITHOUT),
        ("stale", "there is an earlier answer", "off or on", *ACTIVE_WITH),
        ("stale", "there is none", "off", *ACTIVE_WITHOUT),
        ("stale", "there is none", "on", *FATAL),
    ] == table()


def test_every_case_has_one_outcome() -> None:
    """Four modes, failure_fatal off and on, config drive and metadata service; one in four raises."""
    assert (16, 16, 4) == (
        len(OUTCOMES),
        len({(each.mode, each.fatal, each.way) for each in OUTCOMES}),
        sum(each.raises for each in OUTCOMES),
    )
