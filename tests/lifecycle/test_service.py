"""The handlers of a listener, without a broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.pin_stores import make_table
from tests.support.serving import section, write_config
from vendorsrv import Handler, Settings, VendordataRequest
from vendorsrv.lifecycle.service import Deletions
from vendorsrv.telemetry.metrics import Metrics

HANDLERS = "tests.lifecycle.test_service:Refreshing, tests.support.handlers.good:Plain"


class Refreshing(Handler):
    """Refreshes something in one process of the cloud."""

    refreshed: asyncio.Event

    async def open(self) -> None:
        """Begin."""
        type(self).refreshed = asyncio.Event()
        self.every(60, self.refresh, once_per_cluster=True)

    async def refresh(self) -> None:
        """Note it."""
        self.refreshed.set()

    async def handle(self, request: VendordataRequest) -> int:
        """Return a number."""
        return 1

    async def deleted(self, instance_id: str, prepared: object) -> None:
        """Remove nothing."""


def test_handlers_with_deleted_are_opened_with_their_jobs(tmp_path: Path) -> None:
    """A listener opens the handlers that have `deleted`, with what they do every few seconds, and no others."""
    make_table(f"sqlite:///{tmp_path}/pins.db")
    account = {"auth_type": "password", "auth_url": "http://127.0.0.1:1/v3", "username": "x", "password": "x"}
    sections = section("service_account", {**account, "user_domain_name": "Default"})
    settings = Settings.from_file(write_config(tmp_path, handlers=HANDLERS, sections=sections))

    async def run() -> None:
        deletions = Deletions(settings, Metrics())
        async with asyncio.timeout(60), deletions.opened():
            await Refreshing.refreshed.wait()
            (enabled,) = deletions.enabled
            assert "refreshing" == enabled.name
            assert enabled.handler.clients.account is not None

    asyncio.run(run())
