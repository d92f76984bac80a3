"""A handler whose answer fails while it is being read."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from vendorsrv import Handler, VendordataRequest


class Lazy(dict[str, object]):
    """A mapping that asks a database when somebody looks into it."""

    def items(self) -> NoReturn:
        """Fail as that database."""
        raise LookupError("planted-secret")


class Unreadable(Handler):
    """Return what cannot be read."""

    routes: ClassVar = {"key.json": "key"}

    async def handle(self, request: VendordataRequest) -> object:
        """Return it to Nova."""
        return Lazy()

    async def key(self) -> object:
        """Return it to everybody."""
        return Lazy()
