"""Which real peers a test run had: what is missing is skipped, and on CI it fails."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os

import pytest

#: What :func:`require` found, package name to version, in the order of first use.
RAN: dict[str, str] = {}


def require(name: str, reason_if_missing: str) -> str:
    """Return the version of a peer's package, imported by the same name, and note that the tests ran with it.

    When it is missing the test, or at import time the module, is skipped with this reason. With ``CI=true``
    it fails: nobody reads a list of skipped tests there.
    """
    if importlib.util.find_spec(name) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason_if_missing} (CI=true: all peers must be there)", pytrace=False)
        pytest.skip(reason_if_missing, allow_module_level=True)
    RAN[name] = importlib.metadata.version(name)
    return RAN[name]


def summary() -> str:
    """Say in one line which peers ran: ``real peers: Keystone 30.0.0, Nova 34.0.0``."""
    peers = ", ".join(f"{name.capitalize()} {version}" for name, version in RAN.items())
    return f"real peers: {peers or 'none'}"
