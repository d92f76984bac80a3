"""Fails an assertion when it is imported."""

raise AssertionError("no device")
