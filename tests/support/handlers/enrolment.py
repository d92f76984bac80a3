"""A handler with a preparation, in this process: it counts its runs, and a test says what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

from tests.support.pin_stores import age, execute, with_store
from vendorsrv import CloudConfig, Handler, VendordataRequest
from vendorsrv.testing import Answer

INSTANCE: Final = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"


class Enrolment(Handler):
    """Prepares a number; what its preparation does is for the test to say."""

    runs: ClassVar[list[str]] = []
    name = "enrolment"

    async def prepare(self, request: VendordataRequest) -> Any:
        """Return the number of the run."""
        self.runs.append("prepare")
        return await self.number(len(self.runs))

    async def number(self, run: int) -> Any:
        """Return it, unless a test says otherwise."""
        return {"number": run}

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it as JSON."""
        self.runs.append("handle")
        return request.prepared

    def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return it for cloud-init, from a thread."""
        self.runs.append("cloud_init")
        return CloudConfig({"final_message": f"number {request.prepared['number']}"})


class Token(Enrolment):
    """The same for five minutes."""

    pin_for = 300.0


class Plain(Handler):
    """Has a number for some minutes, without a preparation."""

    pin_for = 300.0
    runs: ClassVar[list[str]] = []

    async def handle(self, request: VendordataRequest) -> int:
        """Return how often it ran."""
        self.runs.append("handle")
        return len(self.runs)


def message(answer: Answer) -> str:
    """Return the message in an answer for cloud-init."""
    return str(answer.json).splitlines()[1].removeprefix("final_message: ")


def expire(folder: Path, handler: str, expires_at: float = 1.0) -> None:
    """Let what is pinned under a name expire now, or at a time."""
    with_store(f"sqlite:///{folder}/pins.db", lambda store: age(store, INSTANCE, handler, expires_at=expires_at))


def rows(folder: Path, columns: str) -> list[tuple[object, ...]]:
    """Return what is pinned, by name."""
    statement = f"SELECT {columns} FROM pins ORDER BY handler"  # noqa: S608 - a literal of the test's
    return with_store(f"sqlite:///{folder}/pins.db", lambda store: execute(store.database, statement))
