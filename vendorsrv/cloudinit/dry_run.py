"""A config drive made on the spot, and what the real cloud-init says to it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vendorsrv.errors import ConfigError

#: The Python of the distribution, for which its package of cloud-init is.
PYTHON: Final = "/usr/bin/python3"
PROBE: Final = Path(__file__).with_name("dry_run_probe.py")
#: Seconds; it takes half a second, and a megabyte of cloud-config some seconds.
TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What cloud-init made of a config drive. The configuration may be secret.

    :ivar version: of cloud-init.
    :ivar problems: what went wrong because of the vendor data; empty when nothing did.
    :ivar config: the cloud-config of the instance.
    :ivar files: the scripts and boothooks of the vendor's that are there to be run.
    """

    version: str
    problems: tuple[str, ...]
    config: Mapping[str, Any]
    files: tuple[str, ...]


def check(answer: str | None, user_data: bytes = b"", static: str = "", python: str = PYTHON) -> Verdict:
    """Let the cloud-init that is installed here read a config drive; nothing is run, and this machine stays as it is.

    :param answer: what stands under ``cloud-init`` in vendor_data2.json; None for nothing.
    :param user_data: as the instance sees it.
    :param static: the same of vendor_data.json.
    :param python: the Python that can import cloud-init.
    :raises ConfigError: there is none here.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_drive(Path(folder) / "drive", answer, user_data, static)
        try:
            done = subprocess.run(
                [python, "-I", str(PROBE), folder], capture_output=True, check=False, timeout=TIMEOUT, cwd=folder
            )
            seen = json.loads(done.stdout)
        except (OSError, ValueError):
            raise ConfigError("--check needs cloud-init: install the package of your distribution") from None
    return judge(seen)


def write_drive(folder: Path, answer: str | None, user_data: bytes, static: str) -> None:
    """Write what Nova writes into a config drive (nova/api/metadata/base.py), as far as it concerns cloud-init."""
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


def judge(seen: Mapping[str, Any]) -> Verdict:
    """Compare the boot with the vendor data and the one without."""
    boot, alone = seen["with"], seen["without"]
    problems = [f"cloud-init fails: {boot['error']}"] if boot["error"] else []
    problems += [f"cloud-init warns: {text}" for text in boot["warnings"] if text not in alone["warnings"]]
    for what in ("user_config", "user_scripts"):
        if boot.get(what) != alone.get(what):
            problems.append("the user-data is not what it is without the vendor data")
    problems += [f"cloud-init's schema: {path}" for path in seen["with"]["schema"]]
    return Verdict(
        seen["version"],
        tuple(dict.fromkeys(problems)),
        boot.get("config", {}),
        (*boot.get("vendor_scripts", ()), *boot.get("boothooks", ())),
    )
