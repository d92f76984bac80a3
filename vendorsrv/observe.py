"""Request ids and log lines; never a token, never user-data, never an answer."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Final

from oslo_config import cfg
from oslo_log import log

LOG = logging.getLogger("vendorsrv.access")

#: oslo.context keeps its context per thread, where asyncio's tasks would overwrite each other's.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
GLOBAL_REQUEST_ID: Final[ContextVar[str]] = ContextVar("global_request_id", default="")

#: What oslo.context makes and other services send on; anything else is not repeated in a log.
WELL_FORMED: Final = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# %r, since path and message can hold what a client sent.
LINE: Final = "%s %r %s %s ms caller=%s handler=%s instance=%s error=%r"
LINE_FIELDS: Final = ("method", "path", "status", "milliseconds", "caller", "handler", "instance", "error")


def new_request_id() -> str:
    """Make a request id as every OpenStack service does: ``req-`` and a random UUID."""
    return f"req-{uuid.uuid4()}"


def begin(request_id: str, global_request_id: str | None) -> None:
    """Put the ids of the request onto every log line of this task and of the threads that it starts.

    :param global_request_id: what came in as ``X-Openstack-Request-Id``; ignored unless it is a request id.
    """
    REQUEST_ID.set(request_id)
    well_formed = global_request_id is not None and WELL_FORMED.fullmatch(global_request_id)
    GLOBAL_REQUEST_ID.set(global_request_id if well_formed and global_request_id else "")


class AddRequestIds(logging.Filter):
    """Gives each record the fields that oslo.log's context format prints."""

    def filter(self, record: logging.LogRecord) -> bool:
        ids = {"request_id": REQUEST_ID.get(), "global_request_id": GLOBAL_REQUEST_ID.get()}
        given = {name: value for name, value in ids.items() if value}
        record.__dict__ |= {**ids, "global_request_id": ids["global_request_id"] or "-", "user_identity": "-"}
        record.__dict__["extra"] = getattr(record, "extra", {}) | given
        return True


class WithoutSummary(logging.Formatter):
    """Formats as another formatter does, and keeps out the exception that is being handled.

    oslo.log appends its type and text to every line from warning level up, asked or not
    (``formatters._get_error_summary``); a handler's exception can hold what must not be logged.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Format a record while an exception is handled that oslo.log takes for an everyday one, and leaves out."""
        try:
            raise KeyError
        except KeyError:
            return self.formatter.format(record)


def set_up_logging(conf: cfg.ConfigOpts) -> None:
    """Configure logging from oslo.log's options of an open configuration."""
    log.setup(conf, "vendorsrv")
    for handler in logging.getLogger().handlers:
        handler.addFilter(AddRequestIds())
        handler.setFormatter(WithoutSummary(handler.formatter or logging.Formatter()))


@dataclass(slots=True)
class Access:
    """What one request's log line says; filled in as far as the request gets.

    :ivar error: the error's code and message.
    :ivar polled: one of the server's own routes, which load balancers ask all day.
    """

    method: str
    path: str
    caller: str | None = None
    handler: str | None = None
    instance: str | None = None
    polled: bool = False
    error: str | None = None

    def log(self, status: int, seconds: float) -> None:
        """Write the line: at warning level for 5xx, at debug level for what is polled and succeeds, else at info.

        :param seconds: from the first header to the last byte given to the socket.
        """
        quiet = self.polled and status < 400  # a target with a wrong path in nova.conf has to be seen
        level = logging.WARNING if status >= 500 else logging.DEBUG if quiet else logging.INFO
        if not LOG.isEnabledFor(level):
            return
        milliseconds = round(seconds * 1000, 1)
        fields = {**asdict(self), "path": self.path[:200], "status": status, "milliseconds": milliseconds}
        LOG.log(level, LINE, *(fields[name] for name in LINE_FIELDS), extra={"extra": fields})


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries log off the terminal, where Python prints it while logging is not set up."""
    silence = logging.NullHandler()
    logging.getLogger().addHandler(silence)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silence)
