"""What happens to an instance when its handler fails; tests/peers measures it."""

from __future__ import annotations

from vendorsrv.nova.outcomes import OUTCOMES, table

ACTIVE_WITHOUT = ("ACTIVE: {} on the drive, for good", "ACTIVE: {} at this read", "{} on its new drive")
ACTIVE_WITH = (
    "ACTIVE: earlier answer on the drive, for good",
    "ACTIVE: earlier answer at this read",
    "earlier answer on its new drive",
)
FATAL = (
    "ERROR: vendorsrv's message, after up to three hosts",
    "ACTIVE: this read of vendor_data2.json fails",
    "ERROR at rebuild, resize, rescue and evacuate",
)


def test_the_table_of_outcomes() -> None:
    """An instance is harmed only by an error that reaches Nova while failures are fatal."""
    assert [
        ("on_error", "when", "fatal", "config drive", "metadata service", "an instance that lives already"),
        ("fail", "always", "off", *ACTIVE_WITHOUT),
        ("fail", "always", "on", *FATAL),
        ("empty", "always", "off or on", *ACTIVE_WITHOUT),
        ("stale", "there is an earlier answer", "off or on", *ACTIVE_WITH),
        ("stale", "there is none", "off", *ACTIVE_WITHOUT),
        ("stale", "there is none", "on", *FATAL),
    ] == table()


def test_every_combination_has_one_outcome() -> None:
    """Each mode has an outcome for both values of Nova's option and both ways of asking."""
    assert (16, 16, 4) == (
        len(OUTCOMES),
        len({(each.mode, each.fatal, each.way) for each in OUTCOMES}),
        sum(each.raises for each in OUTCOMES),
    )
