"""What the contenders answer: the role of the mail-server example, by handlers that keep it in different ways."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from vendorsrv import CloudConfig, Handler, Script, VendordataRequest

#: The answer to every body of the benchmarks, from every contender.
ANSWER: Final = {
    "role": "mail-server",
    "domain": "example.org",
    "hostname": "mail-1.example.org",
    "relayhost": "relay.example.org",
}
#: Seconds for which a cached answer is kept: longer than any benchmark.
KEPT: Final = 3600.0


class Trivial(Handler):
    """Look at the boot roles, and give four members; nothing is kept."""

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Give what tests/support/wsgi_server.py gives."""
        if "mail-admin" not in request.boot_roles:
            return {}
        return {
            "role": "mail-server",
            "domain": "example.org",
            "hostname": f"{request.hostname}.example.org",
            "relayhost": "relay.example.org",
        }


class Cached(Trivial):
    """The same from the worker's memory."""

    cache_for = KEPT


class Pinned(Trivial):
    """The same from the pin store."""

    pin = True


class Parts(Handler):
    """The same for cloud-init, from the worker's memory."""

    cache_for = KEPT

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Give a cloud-config and a script."""
        script = "#!/bin/sh\npostconf relayhost=relay.example.org\n"
        return [CloudConfig({"fqdn": f"{request.hostname}.example.org"}), Script(script, name="postfix")]


class Slow(Handler):
    """Wait for 200 ms, as for another server."""

    async def handle(self, request: VendordataRequest) -> object:
        """Wait, and give nothing."""
        await asyncio.sleep(0.2)
        return {}


class Second(Slow):
    """One more."""


class Third(Slow):
    """One more."""


class Fourth(Slow):
    """One more."""


class Fifth(Slow):
    """One more."""
