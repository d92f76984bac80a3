"""The goals of figures: whether one is reached, and by how much it is missed."""

from __future__ import annotations

#: The columns of a figure without a goal.
NO_GOAL = {"goal": "", "reached": ""}


def at_least(value: float, goal: float) -> dict[str, str]:
    """Return the columns of a figure whose goal is a minimum."""
    missed = value < goal
    return {"goal": f"at least {goal:g}", "reached": f"no, {1 - value / goal:.0%} below" if missed else "yes"}


def at_most(value: float, goal: float) -> dict[str, str]:
    """Return the columns of a figure whose goal is a maximum."""
    missed = value > goal
    return {"goal": f"at most {goal:g}", "reached": f"no, {value / goal - 1:.0%} above" if missed else "yes"}


def exactly(value: float, goal: float) -> dict[str, str]:
    """Return the columns of a figure that must equal its goal."""
    return {"goal": f"exactly {goal:g}", "reached": "yes" if value == goal else f"no, {value - goal:+g}"}
