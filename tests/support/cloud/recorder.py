"""A handler that writes down what Nova asks, as a second target beside the mail server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vendorsrv import Handler, VendordataRequest


class Recorder(Handler):
    """Append each request to a file, a JSON object a line, and have nothing for the instance."""

    options = (cfg.StrOpt("file", required=True, help="Where the requests go."),)

    async def handle(self, request: VendordataRequest) -> dict[str, Any]:
        """Write the line; appending one is atomic."""
        line = {"instance": request.instance_id, "roles": sorted(request.boot_roles), "image": request.image_id}
        with Path(self.settings.file).open("a") as file:  # noqa: ASYNC230 -- a local file, and a lab
            file.write(json.dumps(line) + "\n")
        return {}
