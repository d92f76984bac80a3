"""What the server gives a handler to call other services with: ``self.http`` and ``self.openstack``."""

from __future__ import annotations

import asyncio
import logging
from threading import Lock
from typing import TYPE_CHECKING, Any

import anyio

from vendorsrv.auth.account import Account
from vendorsrv.auth.openstack import THREADS, AsyncSession, ProjectSession
from vendorsrv.errors import ConfigError
from vendorsrv.request import PROJECT
from vendorsrv.telemetry.metrics import Metrics

if TYPE_CHECKING:  # httpx takes long to import: only a handler that uses it shall wait for it
    from vendorsrv.handlers.http import Http

LOG = logging.getLogger(__name__)


class Clients:
    """The clients of one handler in one worker, created when it uses them first.

    :param handler: its name.
    :param account: of ``[service_account]``; None where that is not set.
    """

    def __init__(self, handler: str, metrics: Metrics, account: Account | None) -> None:
        self.handler = handler
        self.requests = metrics.client_requests(handler)
        self.account = account
        self.threads = anyio.CapacityLimiter(THREADS)
        self.lock = Lock()
        self.both: Http | None = None

    def open(self) -> None:
        """Note the event loop."""
        self.loop = asyncio.get_running_loop()

    @property
    def http(self) -> Any:
        """The ``httpx.AsyncClient`` on the event loop, and the ``httpx.Client`` in a thread."""
        with self.lock:
            if self.both is None:
                from vendorsrv.handlers.http import Http

                self.both = Http(self.handler, self.requests, self.loop)
        return self.both.on_loop if is_on_loop() else self.both.in_thread

    @property
    def openstack(self) -> Any:
        """The session for the project of the instance that the handler runs for.

        :raises ConfigError: there is no account.
        """
        if self.account is None:
            message = f"handler {self.handler}: self.openstack needs [service_account]"
            LOG.error("%s", message)
            raise ConfigError(message)
        session = ProjectSession(self.account, PROJECT.get())
        return AsyncSession(session, self.threads) if is_on_loop() else session

    async def close(self) -> None:
        """Close the connections."""
        if self.both:
            await self.both.close()


def is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
