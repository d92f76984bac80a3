"""A description of the machine, and of the versions that were measured."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

#: Packages whose versions are reported.
PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "sqlalchemy", "gunicorn", "waitress")
OPENSTACK: Final = ("keystonemiddleware", "keystone")


def describe() -> dict[str, object]:
    """Return the machine's hardware, the versions of the software, the commit and the date."""
    return {
        "cpu": model(Path("/proc/cpuinfo").read_text()),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "versions": {"wrk": wrk_version(), **{name: version(name) for name in ("vendorsrv", *PACKAGES, *OPENSTACK)}},
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "load": round(os.getloadavg()[0], 2),
    }


def model(cpuinfo: str) -> str:
    """Return the processor's name from ``/proc/cpuinfo``."""
    found = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()


def wrk_version() -> str:
    """Return wrk's version, or ``none``."""
    found = re.search(r"\d[\d.]*", output_of("wrk", "--version"))
    return found[0] if found else "none"


def commit() -> str:
    """Return the checkout's commit, marked if files have changed since."""
    return output_of("git", "describe", "--always", "--dirty=, changed").strip() or "unknown"


def output_of(*command: str) -> str:
    """Return the output of a command in the checkout; empty if it is not installed."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
