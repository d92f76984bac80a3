"""The handlers of the benchmarks: the same answer, computed, cached or pinned."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from vendorsrv import CloudConfig, Handler, Script, VendordataRequest
from vendorsrv.facts import Image, Project, Server

#: The answer of every contender to every request.
ANSWER: Final = {
    "role": "mail-server",
    "domain": "example.org",
    "hostname": "mail-1.example.org",
    "relayhost": "relay.example.org",
}
#: Seconds that a cached answer stays: longer than any benchmark.
CACHE_FOR: Final = 3600.0


class Trivial(Handler):
    """Check the boot roles, and return four members; nothing is stored."""

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Return the same answer as tests/support/wsgi_server.py."""
        if "mail-admin" not in request.boot_roles:
            return {}
        return {
            "role": "mail-server",
            "domain": "example.org",
            "hostname": f"{request.hostname}.example.org",
            "relayhost": "relay.example.org",
        }


class Located(Trivial):
    """The same answer, of a handler that needs all facts."""

    needs = (Server, Image, Project)


class Cached(Trivial):
    """The same answer from the worker's cache."""

    cache_for = CACHE_FOR


class Pinned(Trivial):
    """The same answer from the pin store."""

    pin = True


class Parts(Handler):
    """Parts for cloud-init, from the worker's cache."""

    cache_for = CACHE_FOR

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return a cloud-config and a script."""
        script = "#!/bin/sh\npostconf relayhost=relay.example.org\n"
        return [CloudConfig({"fqdn": f"{request.hostname}.example.org"}), Script(script, name="postfix")]


class Slow(Handler):
    """Wait for 200 ms, as for a backend."""

    async def handle(self, request: VendordataRequest) -> object:
        """Wait, and return an empty answer."""
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
