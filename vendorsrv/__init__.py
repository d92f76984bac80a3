"""A framework for REST services that provide OpenStack Nova's dynamic vendordata."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vendorsrv.cloudinit.parts import CloudConfig, Script
    from vendorsrv.declarations import OnError
    from vendorsrv.errors import (
        AnswerError,
        BadRequest,
        ConfigError,
        Forbidden,
        HandlerError,
        NotForThisInstance,
        NotYet,
        ServiceUnavailable,
        TooManyRequests,
        UpstreamError,
        VendordataError,
    )
    from vendorsrv.handler import Handler, HandlerDefinitionError
    from vendorsrv.proxy.handler import Proxy
    from vendorsrv.request import BootRoles, Caller, VendordataRequest
    from vendorsrv.server.app import create_app
    from vendorsrv.settings import Settings
    from vendorsrv.watched_file import WatchedFile

__all__ = [
    "AnswerError",
    "BadRequest",
    "BootRoles",
    "Caller",
    "CloudConfig",
    "ConfigError",
    "Forbidden",
    "Handler",
    "HandlerDefinitionError",
    "HandlerError",
    "NotForThisInstance",
    "NotYet",
    "OnError",
    "Proxy",
    "Script",
    "ServiceUnavailable",
    "Settings",
    "TooManyRequests",
    "UpstreamError",
    "VendordataError",
    "VendordataRequest",
    "WatchedFile",
    "__version__",
    "create_app",
]

__version__ = "0.2.0.dev0"

#: The module of each public name but the errors; importing the package alone loads none of them.
HOMES = {
    **dict.fromkeys(("BootRoles", "Caller", "VendordataRequest"), "request"),
    **dict.fromkeys(("CloudConfig", "Script"), "cloudinit.parts"),
    **dict.fromkeys(("Handler", "HandlerDefinitionError"), "handler"),
    "OnError": "declarations",
    "Proxy": "proxy.handler",
    "Settings": "settings",
    "WatchedFile": "watched_file",
    "create_app": "server.app",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES.get(name, 'errors')}"), name)
