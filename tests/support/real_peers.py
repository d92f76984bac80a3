"""Which real peers a test run had: what is missing is skipped, and on CI it fails."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from typing import NoReturn

import pytest

#: What :func:`require` found, name to version, in the order of first use.
RAN: dict[str, str] = {}


def require(name: str, reason_if_missing: str) -> str:
    """Return the version of a peer's package, imported by the same name, and note that the tests ran with it.

    When it is missing the test, or at import time the module, is skipped with this reason. With ``CI=true``
    it fails: nobody reads a list of skipped tests there.
    """
    if importlib.util.find_spec(name) is None:
        missing(reason_if_missing)
    RAN[name] = importlib.metadata.version(name)
    return RAN[name]


def missing(reason: str) -> NoReturn:
    """Skip the test, or at import time the module, for want of a peer; fail with ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: all peers must be there)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def summary() -> str:
    """Say in one line which peers ran: ``real peers: Keystone 30.0.0, Nova 34.0.0``."""
    peers = ", ".join(f"{name[0].upper()}{name[1:]} {version}" for name, version in RAN.items())
    return f"real peers: {peers or 'none'}"
