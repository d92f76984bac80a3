"""Request ids and the access log, which never contains a token, user-data or an answer."""

from __future__ import annotations

import hashlib
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

from vendorsrv.telemetry.log_lines import faster_formatter, faster_handler
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger("vendorsrv.access")

#: Context variables, since oslo.context keeps one context per thread, which asyncio's tasks would share.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
GLOBAL_REQUEST_ID: Final[ContextVar[str]] = ContextVar("global_request_id", default="")

#: Seconds between two lines that strangers can cause.
BETWEEN_LINES: Final = 1.0
#: Hexadecimal digits of an answer's SHA-256 in its line.
DIGITS: Final = 16
#: The form of request ids that oslo.context creates and other services forward; anything else is not logged.
WELL_FORMED: Final = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Loggers of HTTP clients.
CLIENTS: Final = ("httpx", "httpcore", "urllib3", "requests", "keystoneauth")

# %r, since the path and the error can contain characters that a client chose.
LINE: Final = "%s %r %s %s ms peer=%s caller=%s handler=%s instance=%s source=%s size=%s digest=%s error=%r"


def new_request_id() -> str:
    """Return a new request id in OpenStack's form: ``req-`` and a random UUID (RFC 9562, version 4).

    It is written from random bytes: :func:`uuid.uuid4` takes three times as long.
    """
    text = os.urandom(16).hex()
    return f"req-{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def set_request_ids(request_id: str, global_request_id: str | None) -> None:
    """Set the request ids for all log lines of this task and of the threads that it starts.

    :param global_request_id: the request's header ``X-Openstack-Request-Id``; ignored if it is malformed.
    """
    REQUEST_ID.set(request_id)
    well_formed = global_request_id is not None and WELL_FORMED.fullmatch(global_request_id)
    GLOBAL_REQUEST_ID.set(global_request_id if well_formed and global_request_id else "")


class AddRequestIds(logging.Filter):
    """Add the fields of oslo.log's context format to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        request_id, global_id = REQUEST_ID.get(), GLOBAL_REQUEST_ID.get()
        fields = record.__dict__
        fields["request_id"], fields["global_request_id"], fields["user_identity"] = request_id, global_id or "-", "-"
        ids = {"request_id": request_id, "global_request_id": global_id} if global_id else {"request_id": request_id}
        fields["extra"] = {**fields.get("extra", {}), **ids} if request_id else fields.get("extra", {})
        return True


class HideSecrets(logging.Filter):
    """Take passwords and queries out of the URLs of HTTP clients' records; at debug level those have headers as well.

    It stands on the handlers: a logger's filter does not see the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(CLIENTS):
            record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


def set_up_logging(conf: cfg.ConfigOpts) -> None:
    """Configure logging from oslo.log's options of an open configuration."""
    # httpx logs a line for each request, httpcore all headers of each response.
    log.set_defaults(default_log_levels=[*log.get_default_log_levels(), "httpx=WARN", "httpcore=WARN"])
    log.setup(conf, "vendorsrv")
    root = logging.getLogger()
    root.handlers[:] = map(faster_handler, root.handlers)
    for handler in root.handlers:
        handler.addFilter(AddRequestIds())
        handler.addFilter(HideSecrets())
        handler.setFormatter(faster_formatter(handler.formatter))


@dataclass(slots=True)
class AccessLine:
    """The values of one request's line in the access log, filled in while the request is handled.

    :ivar peer: the address of who asked, as text; empty if it is not known.
    :ivar source: where the answer is from (:attr:`vendorsrv.answer.Answer.source`); of several, each once.
    :ivar error: the error's code and message.
    :ivar polled: whether the path is one of the server's own routes, which load balancers poll.
    """

    method: str
    path: str
    peer: str = ""
    caller: str | None = None
    handler: str | None = None
    instance: str | None = None
    source: str | None = None
    polled: bool = False
    error: str | None = None

    def log(self, status: int, seconds: float, body: bytes | None = None) -> None:
        """Log the line: a 5xx at warning level, a successful poll at debug level, all else at info level.

        :param seconds: from the first header of the request to the last byte written to the socket.
        :param body: the response's, of which the line has the size and, of an answer, the digest; None if not known.
        """
        is_debug = self.polled and status < 400  # the 404 of a wrong target in nova.conf must be visible
        level = logging.WARNING if status >= 500 else logging.DEBUG if is_debug else logging.INFO
        if not LOG.isEnabledFor(level):
            return
        milliseconds, path = round(seconds * 1000, 1), self.path[:200]
        size = None if body is None else len(body)
        digest = hashlib.sha256(body).hexdigest()[:DIGITS] if body is not None and self.source is not None else None
        values = (
            self.method,
            path,
            status,
            milliseconds,
            self.peer,
            self.caller,
            self.handler,
            self.instance,
            self.source,
            size,
            digest,
            self.error,
        )
        record = new_record(level)
        record.args = values
        record.__dict__["extra"] = {
            "method": self.method,
            "path": path,
            "status": status,
            "milliseconds": milliseconds,
            "peer": self.peer,
            "caller": self.caller,
            "handler": self.handler,
            "instance": self.instance,
            "source": self.source,
            "size": size,
            "digest": digest,
            "polled": self.polled,
            "error": self.error,
        }
        LOG.handle(record)


@cache
def blank(level: int, _thread_id: int) -> logging.LogRecord:
    record = LOG.makeRecord(LOG.name, level, __file__, 0, LINE, (), None, "log")
    record.__dict__["taskName"] = None
    return record


def new_record(level: int) -> logging.LogRecord:
    """Return a new record of the access log: a copy of a blank one, since :func:`logging.makeLogRecord` takes 9 µs."""
    model = blank(level, threading.get_ident())
    record = object.__new__(type(model))
    record.__dict__ = {**model.__dict__}
    record.created = now = time.time()
    record.msecs = float(int(now % 1 * 1000))
    record.relativeCreated += (now - model.created) * 1000
    return record


class RareLine:
    """A line of the log that strangers can cause: it is written once a second at most.

    :param text: as for :mod:`logging`.
    """

    def __init__(self, logger: logging.Logger, text: str) -> None:
        self.logger, self.text = logger, text + "; %d more since the last such line"
        self.next, self.unlogged = float("-inf"), 0

    def warn(self, *values: object) -> None:
        """Log the line as a warning, or count it."""
        now = time.monotonic()
        if now < self.next:
            self.unlogged += 1
            return
        self.logger.warning(self.text, *values, self.unlogged)
        self.next, self.unlogged = now + BETWEEN_LINES, 0


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries' warnings off the terminal, where Python prints them while logging is not configured."""
    silence = logging.NullHandler()
    logging.getLogger().addHandler(silence)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silence)
