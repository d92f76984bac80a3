"""The files that the cloud's services read, from the templates beside this module."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2

TEMPLATES: Final = Path(__file__).with_name("templates")
#: Paste files, which the packages of Nova and Glance install below ``sys.prefix``.
PASTE_FILES: Final = ("nova/api-paste.ini", "glance/glance-api-paste.ini")


def write_configuration(folder: Path, hosts: list[str], values: Mapping[str, Any]) -> None:
    """Write all configuration files into a folder; some hold passwords, so only this user may read them.

    :param hosts: of nova-compute; each has a file of its own, ``<host>.conf``.
    :param values: what the templates name.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = jinja2.Environment(  # noqa: S701 -- no HTML
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    for template in (
        "placement.conf",
        "glance-api.conf",
        "nova.conf",
        "nova-database.conf",
        "vendorsrv.conf",
        "clouds.yaml",
    ):
        (folder / template).write_text(environment.get_template(template).render(values))
    for host in hosts:
        (folder / f"{host}.conf").write_text(environment.get_template("nova-compute.conf").render(values, host=host))
    for file in PASTE_FILES:
        shutil.copy(Path(sys.prefix, "etc", file), folder)
