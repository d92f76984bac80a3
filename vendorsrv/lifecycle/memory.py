"""The instances that are gone, which are remembered for a time: Nova goes on asking for them."""

from __future__ import annotations

from functools import partial
from typing import Final

from sqlalchemy import and_, bindparam, select

from vendorsrv.database.drivers import RowQuery
from vendorsrv.database.engine import Database
from vendorsrv.errors import InstanceDeleted, PinsUnavailable
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.handlers.responder import CheckDeleted
from vendorsrv.lifecycle.table import DELETIONS, INSTANCE, KEY
from vendorsrv.pins.store import translate_errors
from vendorsrv.pins.table import Now

#: When everything was done for an instance, in seconds before now; null while something is left.
LOOK_UP: Final = select((Now() - DELETIONS.c.ended_at).label("ended_for")).where(
    and_(*(column == bindparam(column.name) for column in KEY))
)


class Memory:
    """Knows which instances are gone.

    :param remember_for: seconds for which it does, once nothing is left to do for an instance.
    :param listens: whether Nova's notifications are read, so that instances are known to be gone in time.
    """

    def __init__(self, database: Database, remember_for: float, *, listens: bool) -> None:
        self.database = database
        self.listens = listens
        self.remember_for = remember_for
        self.look_up = RowQuery(LOOK_UP, database.engine.dialect)

    def check_for(self, enabled: EnabledHandler) -> CheckDeleted | None:
        """Return what a handler's responder has to call before a run; None where that would be of no use.

        Without a database that answers, a handler that leaves nothing behind runs all the same.
        """
        leaves = enabled.pin or enabled.deletion is not None
        return partial(self.check, required=leaves) if leaves or self.listens else None

    async def check(self, instance_id: str, *, required: bool = True) -> None:
        """Return if an instance is not known to be gone.

        :param required: whether it must be known; else a database that does not answer is none that says so.
        :raises InstanceDeleted: it is gone.
        :raises PinsUnavailable: the database does not answer.
        """
        try:
            row = await translate_errors(self.database.fetch_row(self.look_up, instance_id, INSTANCE))
        except PinsUnavailable:
            if required:
                raise
            return
        if row and (row[0] is None or row[0] < self.remember_for):
            raise InstanceDeleted("the instance is deleted")
