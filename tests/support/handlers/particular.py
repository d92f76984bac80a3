"""A handler with an error of its own."""

from __future__ import annotations

from vendorsrv import Handler, UpstreamError, VendordataRequest


class NoAnswerFrom(UpstreamError):
    """Another service was silent."""

    def __init__(self, service: str, seconds: float) -> None:
        super().__init__(f"the {service} service was silent for {seconds} seconds")


class Particular(Handler):
    """Fail in its own words."""

    async def handle(self, request: VendordataRequest) -> object:
        """Raise it."""
        raise NoAnswerFrom("address", 2.5)
