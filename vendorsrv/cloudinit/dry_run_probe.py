"""A script for the Python that has cloud-init: let cloud-init read a config drive without changing this machine.

``dry_run_probe.py FOLDER`` reads the drive in FOLDER/drive and prints one JSON object. cloud-init writes only below
FOLDER; it runs nothing and fetches nothing.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

from cloudinit import handlers, helpers, stages, user_data, util, version  # noqa: E402
from cloudinit.handlers import boot_hook  # noqa: E402
from cloudinit.sources.DataSourceConfigDrive import DataSourceConfigDrive  # noqa: E402
from cloudinit.url_helper import UrlError  # noqa: E402

ORIGINAL_PATHS = helpers.Paths.__init__


class Messages(logging.Handler):
    """Collect cloud-init's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect one message."""
        self.texts.append(record.getMessage())


def refuse(url: object, *_: Any, **__: Any) -> None:
    """Fail instead of fetching a URL."""
    raise UrlError("fetching is disabled: " + str(url))


def make_harmless() -> None:
    """Disable boothooks, part handlers and includes, which cloud-init would run or fetch while it reads the data."""
    boot_hook.subp.subp = lambda *_, **__: ("", "")
    handlers.PART_CONTENT_TYPES = []
    user_data.read_file_or_url = refuse


def boot(folder: str, *, with_vendor_data: bool) -> dict[str, Any]:
    """Let an instance read its config drive, and return the result."""
    cloud = os.path.join(folder, "with" if with_vendor_data else "without")
    left_out = None if with_vendor_data else shutil.ignore_patterns("vendor_data*")
    shutil.copytree(os.path.join(folder, "drive"), os.path.join(cloud, "seed", "config_drive"), ignore=left_out)
    messages = Messages()
    logging.getLogger().addHandler(messages)
    found: dict[str, Any] = {"error": None}
    try:
        init = begin(cloud)
        init.update()
        init.consume_data("once-per-instance")
        found.update(found_in(init))
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger().removeHandler(messages)
    return {**found, "warnings": messages.texts}


def keep_below(cloud: str) -> None:
    """Let cloud-init use only paths below a folder."""
    paths = {
        "cloud_dir": cloud,
        "run_dir": os.path.join(cloud, "run"),
        "templates_dir": os.path.join(cloud, "templates"),
    }
    helpers.Paths.__init__ = lambda self, _, ds=None: ORIGINAL_PATHS(self, paths, ds)


def begin(cloud: str) -> Any:
    """Return cloud-init's Init with the instance of the config drive."""
    keep_below(cloud)
    init = stages.Init(ds_deps=[])
    util.ensure_dirs([*init._initial_subdirs(), os.path.join(cloud, "run")])
    source = DataSourceConfigDrive(init.cfg, init.distro, init.paths)
    if not source.get_data():
        raise RuntimeError("the config drive was not read")
    init.datasource = source
    init._paths = None  # to be computed for the instance
    init.instancify()
    return init


def found_in(init: Any) -> dict[str, Any]:
    """Return the configuration and the files that cloud-init made."""
    merger = helpers.ConfigMerger(paths=init.paths, datasource=init.datasource, base_cfg={})
    instance = init.paths.get_ipath_cur()
    return {
        "config": merger.cfg,
        "user_config": load(init.paths.get_ipath_cur("cloud_config")),
        "vendor_config": load(init.paths.get_ipath_cur("vendor2_cloud_config")),
        "user_scripts": listed(os.path.join(instance, "scripts")),
        "vendor_scripts": listed(os.path.join(instance, "scripts", "vendor")),
        "boothooks": listed(os.path.join(instance, "boothooks")),
    }


def load(path: str) -> Any:
    """Return a cloud-config that cloud-init wrote."""
    return util.read_conf(path) if os.path.exists(path) else {}


def listed(folder: str) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_file()) if os.path.isdir(folder) else []


def schema_findings(config: Any) -> list[str]:
    """Return the paths of schema violations in a cloud-config."""
    from cloudinit.config.schema import SchemaValidationError, get_schema, validate_cloudconfig_schema

    try:
        validate_cloudconfig_schema(config, schema=get_schema(), strict=True, log_deprecations=False)
    except SchemaValidationError as error:
        return [problem.path for problem in error.schema_errors]
    return []


def main(folder: str) -> None:
    """Print the results of two boots, with and without the vendor data."""
    make_harmless()
    logging.getLogger().setLevel(logging.WARNING)
    without = boot(folder, with_vendor_data=False)
    found = boot(folder, with_vendor_data=True)
    try:
        found["schema"] = schema_findings(found.get("vendor_config", {}))
    except Exception as error:  # an older cloud-init has another schema module
        found["schema"] = [f"({type(error).__name__})"]
    json.dump({"version": version.version_string(), "with": found, "without": without}, sys.stdout, default=str)


if __name__ == "__main__":
    main(sys.argv[1])
