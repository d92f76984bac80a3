"""The end of an instance, without Nova's notification."""

from __future__ import annotations

from sqlalchemy import update

from vendorsrv.lifecycle.options import read_options
from vendorsrv.lifecycle.outbox import IS_OPEN, Outbox
from vendorsrv.lifecycle.processor import Processor, names_of
from vendorsrv.lifecycle.table import DELETIONS
from vendorsrv.lifecycle.work import CachedAnswers
from vendorsrv.pins.table import Now
from vendorsrv.server.app import Application
from vendorsrv.telemetry.metrics import Metrics


async def delete(app: Application, instance_id: str, project_id: str | None) -> dict[str, str]:
    """Note that an instance is gone, and do once what follows.

    :returns: by handler how its call ended.
    :raises PinsUnavailable: the database does not answer.
    """
    if app.pin_service is None:
        return {}
    options = read_options(app.settings.conf)
    enabled = list(app.registry.handlers.values())
    outbox = Outbox(app.pin_service.store.database, names_of(enabled))
    processor = Processor(
        *(outbox, app.pin_service.pins, enabled, CachedAnswers(app.cache, enabled)),
        concurrency=options.concurrency,
        give_up_after=options.give_up_after,
        remember_for=options.remember_for,
        metrics=Metrics(),
    )
    if not await outbox.add(instance_id, project_id):
        again = (DELETIONS.c.instance_id == instance_id, DELETIONS.c.owner.is_(None), IS_OPEN)
        await outbox.write(update(DELETIONS).where(*again).values(due_at=Now()))
    tried = await processor.work_off()
    return {name: outcome for name, outcomes in tried.items() if name for outcome in outcomes}
