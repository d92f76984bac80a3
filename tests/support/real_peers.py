"""The real peers of the tests: other programs and packages, such as Keystone, PostgreSQL and cloud-init.

A test that needs a peer asks for it here, and so does one that starts a process. All other tests are unit tests:
``--unit`` skips those that ask.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from shutil import which
from typing import Final, NoReturn

import pytest

#: The peers that tests have used so far, name to version.
RAN: Final[dict[str, str]] = {}


class Wanted:
    """Which tests this run is for.

    :cvar peers: whether tests that ask for a peer run; ``--unit`` sets it to False.
    """

    peers = True


def skip_if_unit() -> None:
    """Skip the test, or the module that is being imported, when only unit tests are wanted."""
    if not Wanted.peers:
        pytest.skip("not a unit test: it needs a real peer or a process", allow_module_level=True)


def require(name: str, reason_if_missing: str) -> str:
    """Return the version of a peer's package, which has the name of its module, and note that a test uses it.

    See :func:`missing` for what happens when it is not installed.
    """
    skip_if_unit()
    if importlib.util.find_spec(name) is None:
        missing(reason_if_missing)
    RAN[name] = importlib.metadata.version(name)
    return RAN[name]


def require_program(name: str) -> None:
    """Go on when there is such a program; see :func:`missing` for what happens otherwise."""
    skip_if_unit()
    if which(name) is None:
        missing(f"no {name}: make test installs it")


def missing(reason: str) -> NoReturn:
    """Skip the test, or the module that is being imported, for want of a peer; fail it with ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: all peers must be there)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def summary() -> str:
    """Return the peers that ran, in one line: ``real peers: Keystone 30.0.0, Nova 34.0.0``."""
    peers = ", ".join(f"{name[0].upper()}{name[1:]} {version}" for name, version in RAN.items())
    return f"real peers: {peers or 'none'}"
