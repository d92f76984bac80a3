"""Handlers that work."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from oslo_config import cfg

from vendorsrv import Handler, ServiceUnavailable, VendordataRequest


class Echo(Handler):
    """Return the request as a handler sees it."""

    async def handle(self, request: VendordataRequest) -> dict[str, Any]:
        """Name some of the request's fields."""
        return {
            "instance": request.instance_id,
            "roles": list(request.boot_roles),
            "metadata": dict(request.metadata),
            "extra": dict(request.extra),
            "caller": request.caller.project_name if request.caller else None,
            "request_id": request.request_id,
            "peer": request.peer,
        }


class Plain(Handler):
    """Run in a thread."""

    options = (cfg.StrOpt("greeting", default="hello"),)
    routes: ClassVar = {"key.json": "key", "async-key.json": "async_key", "broken.json": "broken"}

    def handle(self, request: VendordataRequest) -> object:
        """Greet the instance."""
        return {"greeting": self.settings.greeting, "hostname": request.hostname}

    def key(self) -> object:
        """Return the public key."""
        return {"key": "public"}

    async def async_key(self) -> object:
        """Return the other public key."""
        return {"key": "async"}

    def broken(self) -> object:
        """Return nothing that is JSON."""
        return object()


class Raising(Handler):
    """Fail with a text that is nobody's business."""

    async def handle(self, request: VendordataRequest) -> object:
        """Raise."""
        raise RuntimeError("planted-secret")


class Away(Handler):
    """Fail as its source is unavailable."""

    async def handle(self, request: VendordataRequest) -> object:
        """Raise one of the errors that vendors may raise."""
        raise ServiceUnavailable("the address store is being upgraded")


class Odd(Handler):
    """Answer with what is no JSON."""

    async def handle(self, request: VendordataRequest) -> object:
        """Return a set, deep down."""
        return {"domains": [{"names": {"a"}}]}


class Nothing(Handler):
    """Answer with None."""

    async def handle(self, request: VendordataRequest) -> object:
        """Return None."""
        return None


class Slow(Handler):
    """Take longer than it may."""

    timeout = 0.05

    def handle(self, request: VendordataRequest) -> object:
        """Come too late."""
        time.sleep(1.0)
        return {}
