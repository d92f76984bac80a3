"""The process that tests/support/peers/nova.py starts: it has Nova, whose configuration is global, to itself.

One JSON line in, ``{"configuration", "instance"}``, is one line out: what Nova made of it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GROUP = "vendordata_dynamic_auth"


class Messages(logging.Handler):
    """Keeps the messages that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.texts.append(record.getMessage())


class Client:
    """Nova's client, with what it keeps between calls."""

    def __init__(self) -> None:
        self.credentials = ""

    def vendordata(self, configuration: str, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Configure Nova by this file, ask for the instance's vendordata, and return it or what Nova raised."""
        from nova.api.metadata.vendordata_dynamic import DynamicVendorData
        from nova.objects.instance import Instance

        self.configure(configuration)
        try:
            return {"value": DynamicVendorData(Instance(**instance)).get()}
        except Exception as error:  # noqa: BLE001  whatever Nova raises is the result
            return {"error": {"class": type(error).__name__, "message": str(error)}}

    def configure(self, path: str) -> None:
        """Read this file and no other; a Nova with new credentials starts without session and token."""
        from nova.conf import CONF

        credentials = Path(path).read_text().partition(f"[{GROUP}]")[2]
        if credentials != self.credentials:
            self.credentials = credentials
            forget_credentials()
        CONF([], project="nova", default_config_files=[path], default_config_dirs=[])


def forget_credentials() -> None:
    """Bring Nova to the state before its first call, where no plugin has declared its options as required."""
    from keystoneauth1.loading import get_auth_plugin_conf_options, get_plugin_loader
    from nova import service_auth
    from nova.conf import CONF

    service_auth.reset_globals()
    CONF.clear()
    CONF.unregister_opts(get_auth_plugin_conf_options(get_plugin_loader("password")), group=GROUP)


def main() -> None:
    """Answer each line of standard input until it ends; what Nova prints and logs goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    client = Client()
    for line in sys.stdin:
        messages = Messages()
        logging.getLogger().addHandler(messages)
        outcome = client.vendordata(**json.loads(line))
        logging.getLogger().removeHandler(messages)
        print(json.dumps({**outcome, "log": messages.texts}), file=answers, flush=True)


if __name__ == "__main__":
    main()
