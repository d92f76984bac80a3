"""The kit for handlers' tests: a server without a socket, and fakes of all that it depends on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vendorsrv.testing.answers import Answer
    from vendorsrv.testing.bodies import VARIANTS, nova_body
    from vendorsrv.testing.clock import ManualClock
    from vendorsrv.testing.cloud import FakeCloud
    from vendorsrv.testing.keystone import FakeKeystone
    from vendorsrv.testing.server import Server, serve
    from vendorsrv.testing.upstream import NAMES, FakeUpstream, Received, Reply

__all__ = [
    "NAMES",
    "VARIANTS",
    "Answer",
    "FakeCloud",
    "FakeKeystone",
    "FakeUpstream",
    "ManualClock",
    "Received",
    "Reply",
    "Server",
    "nova_body",
    "serve",
]

#: The module of each public name; it is imported when the name is first used.
HOMES = {
    "NAMES": "upstream",
    "VARIANTS": "bodies",
    "Answer": "answers",
    "FakeCloud": "cloud",
    "FakeKeystone": "keystone",
    "FakeUpstream": "upstream",
    "ManualClock": "clock",
    "Received": "upstream",
    "Reply": "upstream",
    "Server": "server",
    "nova_body": "bodies",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
