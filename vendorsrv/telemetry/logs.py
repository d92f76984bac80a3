"""Request ids and log lines; never a token, never user-data, never an answer."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Final

from oslo_config import cfg
from oslo_log import log

from vendorsrv.telemetry.log_lines import Shortcut, as_lines, as_our_own

LOG = logging.getLogger("vendorsrv.access")

#: oslo.context keeps its context per thread, where asyncio's tasks would overwrite each other's.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
GLOBAL_REQUEST_ID: Final[ContextVar[str]] = ContextVar("global_request_id", default="")

#: What oslo.context makes and other services send on; anything else is not repeated in a log.
WELL_FORMED: Final = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# %r, since path and message can hold what a client sent.
LINE: Final = "%s %r %s %s ms caller=%s handler=%s instance=%s error=%r"


def new_request_id() -> str:
    """Make a request id as every OpenStack service does: ``req-`` and a random UUID (RFC 9562, version 4).

    Written from the random bytes themselves: a UUID object in between takes three times as long.
    """
    text = os.urandom(16).hex()
    return f"req-{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


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
        request_id, global_id = REQUEST_ID.get(), GLOBAL_REQUEST_ID.get()
        fields = record.__dict__
        fields["request_id"], fields["global_request_id"], fields["user_identity"] = request_id, global_id or "-", "-"
        ids = {"request_id": request_id, "global_request_id": global_id} if global_id else {"request_id": request_id}
        fields["extra"] = {**fields.get("extra", {}), **ids} if request_id else fields.get("extra", {})
        return True


def set_up_logging(conf: cfg.ConfigOpts) -> None:
    """Configure logging from oslo.log's options of an open configuration."""
    log.setup(conf, "vendorsrv")
    root = logging.getLogger()
    root.handlers[:] = map(as_our_own, root.handlers)
    for handler in root.handlers:
        handler.addFilter(AddRequestIds())
        handler.setFormatter(as_lines(handler.formatter))
    shortcut_of.cache_clear()


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
        milliseconds, path = round(seconds * 1000, 1), self.path[:200]
        said = (self.method, path, status, milliseconds, self.caller, self.handler, self.instance, self.error)
        if level == logging.INFO and (shortcut := shortcut_of(threading.get_ident())).is_open():
            ids = {"request_id": REQUEST_ID.get(), "global_request_id": GLOBAL_REQUEST_ID.get() or "-"}
            if shortcut.write(LINE % said, user_identity="-", **ids):
                return
        record = new_record(level)
        record.args = said
        extra = {name: getattr(self, name) for name in FIELDS}
        record.__dict__["extra"] = {**extra, "path": path, "status": status, "milliseconds": milliseconds}
        LOG.handle(record)


FIELDS: Final = ("method", "path", "caller", "handler", "instance", "polled", "error")


@cache
def shortcut_of(_thread_id: int) -> Shortcut:
    return Shortcut(LOG)


@cache
def blank(level: int, _thread_id: int) -> logging.LogRecord:
    record = LOG.makeRecord(LOG.name, level, __file__, 0, LINE, (), None, "log")
    record.__dict__["taskName"] = None
    return record


def new_record(level: int) -> logging.LogRecord:
    """Give a record of the access log that was made now: a copy, since to find out all that is in one takes 9 µs."""
    model = blank(level, threading.get_ident())
    record = object.__new__(type(model))
    record.__dict__ = {**model.__dict__}
    record.created = now = time.time()
    record.msecs = float(int(now % 1 * 1000))
    record.relativeCreated += (now - model.created) * 1000
    return record


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries log off the terminal, where Python prints it while logging is not set up."""
    silence = logging.NullHandler()
    logging.getLogger().addHandler(silence)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silence)
