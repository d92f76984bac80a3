"""Run by the Python that has cloud-init: what the real one makes of a config drive, without touching this machine.

``cloud_init.py FOLDER`` reads the drive below FOLDER/drive and prints one JSON object. What cloud-init writes is below
FOLDER as well; nothing is run, and nothing is fetched.
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
    """Keeps what cloud-init warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.texts.append(record.getMessage())


def refuse(url: object, *_: Any, **__: Any) -> None:
    """Stand where cloud-init would fetch a URL."""
    raise UrlError("nothing is fetched here: " + str(url))


def make_harmless() -> None:
    """Let nothing run and nothing be fetched: boothooks run, and part handlers are imported, while data are read."""
    boot_hook.subp.subp = lambda *_, **__: ("", "")
    handlers.PART_CONTENT_TYPES = []
    user_data.read_file_or_url = refuse


def boot(folder: str, *, with_vendor_data: bool) -> dict[str, Any]:
    """Let one instance read its config drive, and say what is there afterwards."""
    cloud = os.path.join(folder, "with" if with_vendor_data else "without")
    seed = os.path.join(cloud, "seed", "config_drive")
    copy_drive(os.path.join(folder, "drive"), cloud)
    if not with_vendor_data:
        for root, _, names in os.walk(seed):
            for name in names:
                if name.startswith("vendor_data"):
                    os.unlink(os.path.join(root, name))
    messages = Messages()
    logging.getLogger().addHandler(messages)
    found: dict[str, Any] = {"error": None}
    try:
        found.update(consume(cloud))
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger().removeHandler(messages)
    return {**found, "warnings": messages.texts}


def copy_drive(drive: str, cloud: str) -> None:
    """Put a config drive where cloud-init looks first."""
    shutil.copytree(drive, os.path.join(cloud, "seed", "config_drive"))


def keep_below(cloud: str) -> None:
    """Let cloud-init find and leave everything below a folder, whatever a configuration says."""
    paths = {
        "cloud_dir": cloud,
        "run_dir": os.path.join(cloud, "run"),
        "templates_dir": os.path.join(cloud, "templates"),
    }
    helpers.Paths.__init__ = lambda self, _, ds=None: ORIGINAL_PATHS(self, paths, ds)


def consume(cloud: str) -> dict[str, Any]:
    """Take an instance through what init does with its data."""
    init = begin(cloud)
    init.update()
    init.consume_data("once-per-instance")
    return found_in(init)


def begin(cloud: str) -> Any:
    """Give cloud-init's own Init, with the instance of the config drive."""
    keep_below(cloud)
    init = stages.Init(ds_deps=[])
    util.ensure_dirs([*init._initial_subdirs(), os.path.join(cloud, "run")])
    source = DataSourceConfigDrive(init.cfg, init.distro, init.paths)
    if not source.get_data():
        raise RuntimeError("the config drive was not read")
    init.datasource = source
    init._paths = None  # it is of the instance from here on
    init.instancify()
    return init


def found_in(init: Any) -> dict[str, Any]:
    """Say what is there to be done on the instance."""
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
    """Read a cloud-config that cloud-init wrote."""
    return util.read_conf(path) if os.path.exists(path) else {}


def listed(folder: str) -> list[str]:
    """List the files of a folder."""
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name)))


def schema_findings(config: Any) -> list[str]:
    """Give what cloud-init's own schema says of a cloud-config, without the values."""
    from cloudinit.config.schema import SchemaValidationError, get_schema, validate_cloudconfig_schema

    try:
        validate_cloudconfig_schema(config, schema=get_schema(), strict=True, log_deprecations=False)
    except SchemaValidationError as error:
        return [problem.path for problem in error.schema_errors]
    return []


def main(folder: str) -> None:
    """Boot twice, with the vendor data and without."""
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
