"""Handlers that can be imported, and not served."""

from __future__ import annotations

from typing import ClassVar

from oslo_config import cfg

from vendorsrv import ConfigError, Handler, VendordataRequest


class Abstract(Handler):
    """Have no handle."""


class Echo(Handler):
    """Have the name of another handler."""

    async def handle(self, request: VendordataRequest) -> object:
        """Return nothing."""
        return None


class Needy(Echo):
    """Need an option."""

    name = "needy"
    options: ClassVar = (
        cfg.HostnameOpt("domain", required=True, help="The mail domain."),
        cfg.IntOpt("level", default=1, min=1),
    )


class Picky(Echo):
    """Refuse its settings in words of its own."""

    name = "picky"

    def __init__(self, settings: object) -> None:
        super().__init__(settings)
        raise ConfigError("relay and domain are the same host")


class Fragile(Echo):
    """Fail when it is built."""

    name = "fragile"

    def __init__(self, settings: object) -> None:
        super().__init__(settings)
        raise LookupError("no device")


#: What the two below did, in order.
EVENTS: list[str] = []


class First(Echo):
    """Be opened and closed."""

    name = "first"

    async def open(self) -> None:
        """Note it."""
        EVENTS.append("first opened")

    async def close(self) -> None:
        """Note it."""
        EVENTS.append("first closed")


class Second(First):
    """The same, after the first."""

    name = "second"

    async def open(self) -> None:
        """Note it."""
        EVENTS.append("second opened")

    async def close(self) -> None:
        """Note it."""
        EVENTS.append("second closed")


class Unopenable(Echo):
    """Fail to open."""

    name = "unopenable"

    async def open(self) -> None:
        """Raise."""
        raise OSError("no route to the address store")


class Leaky(Echo):
    """Fail to open, with secrets in the text."""

    name = "leaky"
    options = (cfg.StrOpt("key", default="planted-key", secret=True),)

    async def open(self) -> None:
        """Raise."""
        raise OSError(f"no answer of https://me:planted@store/x?key=planted with {self.settings.key}")


class Unclosable(Second):
    """Fail to close."""

    name = "unclosable"

    async def close(self) -> None:
        """Raise."""
        raise OSError("the pool is in use")
