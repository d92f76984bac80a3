"""A handler that fails in every place at once."""

from __future__ import annotations

import logging

from vendorsrv import Handler, VendordataRequest

LOG = logging.getLogger(__name__)


class Grumbling(Handler):
    """Log a line, and fail with a cause whose text is a secret."""

    def handle(self, request: VendordataRequest) -> object:
        """Raise, in a thread."""
        LOG.warning("a handler's own line")
        try:
            raise LookupError("planted-cause")
        except LookupError as error:
            raise RuntimeError("planted-secret") from error
