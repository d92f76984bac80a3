"""What a figure is asked to be, and by how much it is missed."""

from __future__ import annotations

#: What a row says of a figure that nothing is asked of.
NO_GOAL = {"goal": "", "reached": ""}


def at_least(value: float, goal: float) -> dict[str, str]:
    """Give the columns of a figure that may not be below the goal."""
    missed = value < goal
    return {"goal": f"at least {goal:g}", "reached": f"no, {1 - value / goal:.0%} below" if missed else "yes"}


def at_most(value: float, goal: float) -> dict[str, str]:
    """Give the columns of a figure that may not be above the goal."""
    missed = value > goal
    return {"goal": f"at most {goal:g}", "reached": f"no, {value / goal - 1:.0%} above" if missed else "yes"}


def exactly(value: float, goal: float) -> dict[str, str]:
    """Give the columns of a figure that may be nothing but the goal."""
    return {"goal": f"exactly {goal:g}", "reached": "yes" if value == goal else f"no, {value - goal:+g}"}
