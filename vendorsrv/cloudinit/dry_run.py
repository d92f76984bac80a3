"""Let the installed cloud-init read a config drive, without running anything."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vendorsrv.errors import ConfigError

#: The distribution's Python, for which its cloud-init package is installed.
PYTHON: Final = "/usr/bin/python3"
PROBE: Final = Path(__file__).with_name("dry_run_probe.py")


@dataclass(frozen=True, slots=True)
class DryRun:
    """What cloud-init made of a config drive. The configuration may be secret.

    :ivar version: the version of cloud-init.
    :ivar problems: errors and warnings that the vendor data caused.
    :ivar config: the instance's cloud-config.
    :ivar files: the vendor data's scripts and boothooks that the instance would run.
    """

    version: str
    problems: tuple[str, ...]
    config: Mapping[str, Any]
    files: tuple[str, ...]


def dry_run(answer: str | None, user_data: bytes = b"", static: str = "", python: str = PYTHON) -> DryRun:
    """Let the installed cloud-init read a config drive; it runs nothing and does not change this machine.

    :param answer: the value of ``cloud-init`` in vendor_data2.json; None for nothing.
    :param user_data: as the instance sees it.
    :param static: the value of ``cloud-init`` in vendor_data.json.
    :param python: the Python that can import cloud-init.
    :raises ConfigError: cloud-init is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_drive(Path(folder) / "drive", answer, user_data, static)
        try:
            command = [python, "-I", str(PROBE), folder]
            # A dry run takes half a second, with a megabyte of cloud-config a few seconds.
            done = subprocess.run(command, capture_output=True, check=False, timeout=60.0, cwd=folder)
            seen = json.loads(done.stdout)
        except (OSError, ValueError):
            raise ConfigError("--check requires cloud-init; install your distribution's package") from None
    return compare(seen)


def write_drive(folder: Path, answer: str | None, user_data: bytes, static: str) -> None:
    """Write the files of Nova's config drive (nova/api/metadata/base.py) that concern cloud-init."""
    latest = folder / "openstack" / "latest"
    latest.mkdir(parents=True)
    about = {"uuid": "00000000-0000-4000-8000-000000000000", "hostname": "rendered", "name": "rendered"}
    documents = {
        "meta_data.json": about,
        "vendor_data.json": {"cloud-init": static} if static else {},
        "vendor_data2.json": {"cloud-init": answer if answer is not None else {}},
    }
    for name, document in documents.items():
        (latest / name).write_text(json.dumps(document))
    if user_data:
        (latest / "user_data").write_bytes(user_data)


def compare(seen: Mapping[str, Any]) -> DryRun:
    """Compare the boot with the vendor data to the one without."""
    boot, alone = seen["with"], seen["without"]
    problems = [f"cloud-init fails: {boot['error']}"] if boot["error"] else []
    problems += [f"cloud-init warns: {text}" for text in boot["warnings"] if text not in alone["warnings"]]
    if any(boot.get(what) != alone.get(what) for what in ("user_config", "user_scripts")):
        problems += ["the vendor data changes the user-data"]
    problems += [f"cloud-init's schema: {path}" for path in boot["schema"]]
    files = (*boot.get("vendor_scripts", ()), *boot.get("boothooks", ()))
    return DryRun(seen["version"], tuple(dict.fromkeys(problems)), boot.get("config", {}), files)
