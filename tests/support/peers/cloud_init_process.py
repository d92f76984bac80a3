"""The process that cloud_init.py starts, by the Python with cloud-init: one JSON line in, one out."""

from __future__ import annotations

import base64
import copy
import importlib.util
import json
import os
import shutil
import sys
from typing import Any


def load(path: str) -> Any:
    """Import the probe, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("probe", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: str, order: dict[str, Any]) -> None:
    """Write one config drive where nothing is left of the one before."""
    shutil.rmtree(folder, ignore_errors=True)
    latest = os.path.join(folder, "drive", "openstack", "latest")
    os.makedirs(latest)
    about = {"uuid": "00000000-0000-4000-8000-000000000000", "hostname": "mail-1", "name": "mail-1"}
    for name, document in {"meta_data.json": about, **order}.items():
        if name.endswith(".json"):
            with open(os.path.join(latest, name), "w") as file:
                json.dump(document, file)
    if order["user_data"]:
        with open(os.path.join(latest, "user_data"), "wb") as raw:
            raw.write(base64.b64decode(order["user_data"]))


def begin(probe: Any, folder: str, cloud: str) -> Any:
    """Boot an instance that has user-data and no vendor data, and return cloud-init's own object of it."""
    user_data = base64.b64encode(b"#cloud-config\nruncmd: [mine]\n").decode()
    write(folder, {"vendor_data2.json": {}, "user_data": user_data})
    shutil.copytree(os.path.join(folder, "drive"), os.path.join(cloud, "seed", "config_drive"))
    init = probe.begin(cloud)
    init.update()
    init.consume_data("once-per-instance")
    return init


def feed(probe: Any, init: Any, answer: Any) -> dict[str, Any]:
    """Do with one more answer what ``Init.update`` and ``Init.consume_data`` do, without a boot around it."""
    messages = probe.Messages()
    probe.logging.getLogger().addHandler(messages)
    error = None
    source = init.datasource
    try:
        source.vendordata2, source.vendordata2_raw = (
            None,
            probe.stages.sources.convert_vendordata({"cloud-init": answer}),
        )
        init._store_raw_vendordata(source.get_vendordata2_raw(), "vendordata2")
        init._store_processeddata(source.get_vendordata2(), "vendordata2")
        init._consume_vendordata("vendordata2")
    except Exception as raised:  # whatever cloud-init raises is the result
        error = f"{type(raised).__name__}: {raised}"
    finally:
        probe.logging.getLogger().removeHandler(messages)
    return {"error": error, "warnings": messages.texts, **probe.found_in(init)}


def main(probe_path: str, directory: str) -> None:
    """Answer each line of standard input until it ends; what cloud-init prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    probe = load(probe_path)
    probe.make_harmless()
    base = probe.stages.fetch_base_config()  # reading it anew is most of a boot's time
    probe.stages.fetch_base_config = lambda **_: copy.deepcopy(base)
    print(json.dumps({"version": probe.version.version_string()}), file=answers, flush=True)
    booted, fed = os.path.join(directory, "boot"), os.path.join(directory, "fed")
    cloud = os.path.join(fed, "cloud")
    init: Any = None
    for line in sys.stdin:
        order = json.loads(line)
        if "feed" in order:
            init = init or begin(probe, fed, cloud)
            probe.keep_below(cloud)  # a boot in between was below a folder of its own
            seen = feed(probe, init, order["feed"])
        else:
            write(booted, order)
            seen = probe.boot(booted, with_vendor_data=not order["alone"])
        print(json.dumps(seen, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
