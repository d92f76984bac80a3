"""Handlers that answer, and fail, in every way that Nova can meet; enabled as ``tests.support.peers.handlers:X``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from typing import Any, NoReturn

from vendorsrv import Handler, VendordataRequest
from vendorsrv.errors import HandlerError, InstanceDeleted, ServiceUnavailable, UpstreamError


class Received(Handler):
    """Answers with what arrived."""

    async def handle(self, request: VendordataRequest) -> dict[str, Any]:
        """Name every field; of the user-data length and digest."""
        user_data = request.decoded_user_data()
        return {
            "project_id": request.project_id,
            "image_id": request.image_id,
            "hostname": request.hostname,
            "metadata": dict(request.metadata),
            "boot_roles": list(request.boot_roles),
            "user_data": user_data and [len(user_data), hashlib.sha256(user_data).hexdigest()],
        }


class Echo(Handler):
    """Answers what the item ``answer`` of the metadata says, as JSON or as what only Python takes for JSON."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Parse it leniently: NaN and lone surrogates pass."""
        return json.loads(request.metadata.get("answer", "{}"))


class NoJson(Handler):
    """Answers with what is no JSON."""

    async def handle(self, request: VendordataRequest) -> Any:
        """Return a set."""
        return {"roles": {*request.boot_roles}}


class Broken(Handler):
    """Raises what nobody expects, with all that it knows in the text."""

    async def handle(self, request: VendordataRequest) -> NoReturn:
        """Raise, out of another exception's handling."""
        try:
            json.loads(f"{request.user_data} {dict(request.metadata)} {dict(request.extra)}")
        except ValueError as error:
            raise RuntimeError(f"{request.user_data} {dict(request.metadata)} {dict(request.extra)}") from error
        raise AssertionError("it was JSON")


class BrokenInThread(Broken):
    """The same, of a plain method."""

    def handle(self, request: VendordataRequest) -> NoReturn:
        """Raise."""
        raise KeyError(f"{request.user_data} {dict(request.metadata)} {dict(request.extra)}")


class Failing(BrokenInThread):
    """The same, to be asked until its breaker opens."""


class Refusing(Handler):
    """Raises an error with a message for the tenant."""

    async def handle(self, request: VendordataRequest) -> NoReturn:
        """Raise the error that the item ``error`` of the metadata names."""
        error = request.metadata["error"]
        if error == "deleted":
            raise InstanceDeleted("the instance is deleted")
        errors = {"handler": HandlerError, "upstream": UpstreamError, "unavailable": ServiceUnavailable}
        raise errors[error]("the address pool is empty")


class Slow(Handler):
    """Never comes back, on the event loop."""

    timeout = 0.2

    async def handle(self, request: VendordataRequest) -> None:
        """Wait for what never happens."""
        await asyncio.Event().wait()


class Stuck(Handler):
    """Comes back from its one thread only when the server ends."""

    timeout = 0.2
    threads = 1

    def handle(self, request: VendordataRequest) -> None:
        """Wait for what never happens."""
        self.never.wait()

    async def open(self) -> None:
        """Prepare what is waited for."""
        self.never = threading.Event()

    async def close(self) -> None:
        """Let the thread end, as the worker's end would wait for it."""
        self.never.set()


def names() -> str:
    """Return the value of ``[vendorsrv] handlers`` that enables the mail server and all of these."""
    classes = (Received, Echo, NoJson, Broken, BrokenInThread, Failing, Refusing, Slow, Stuck)
    return ",".join(["mailserver", *(f"{each.__module__}:{each.__name__}" for each in classes)])
