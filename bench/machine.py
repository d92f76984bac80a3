"""What kind of machine a benchmark ran on, and what of."""

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

#: What the contenders are made of.
PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "sqlalchemy", "gunicorn", "waitress")
OPENSTACK: Final = ("keystonemiddleware", "keystone")


def kind() -> dict[str, object]:
    """Describe this machine, the versions of what runs on it, the commit and the day."""
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
    """Give the processor's name as the kernel has it."""
    found = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()


def wrk_version() -> str:
    """Give what wrk calls itself, without the name."""
    found = re.search(r"\d[\d.]*", printed("wrk", "--version"))
    return found[0] if found else "none"


def commit() -> str:
    """Give the checkout's commit, with a mark when files were changed since."""
    return printed("git", "describe", "--always", "--dirty=, changed").strip() or "unknown"


def printed(*command: str) -> str:
    """Run a command in the checkout, and give what it prints; nothing when it is not there."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
