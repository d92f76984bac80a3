"""Handlers with whose configuration something can be wrong."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from vendorsrv import Handler, VendordataRequest


class Guarded(Handler):
    """Know a secret.

    And have more to say of it.
    """

    options = (
        cfg.StrOpt("code", secret=True, regex="^[0-9]+$", help="Digits."),
        cfg.MultiStrOpt("rack", default=[], help="Racks, one a line."),
        cfg.StrOpt("row", choices=["a", "b"], deprecated_for_removal=True, help="The row."),
        cfg.StrOpt("address", default="10.0.0.1", sample_default="ADDRESS"),
    )

    def handle(self, request: VendordataRequest) -> object:
        """Answer nothing."""
        return {}


class Refusing(Handler):
    """Cannot be built."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        raise ValueError("no racks today")

    async def handle(self, request: VendordataRequest) -> object:
        """Answer nothing."""
        return {}
