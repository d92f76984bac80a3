"""Log lines as oslo.log formats them, formatted and written with less CPU than oslo.log and Python's handlers take."""

from __future__ import annotations

import asyncio
import logging
import time
from logging.handlers import WatchedFileHandler
from typing import Final, TextIO

from oslo_context import context
from oslo_log.formatters import ContextFormatter

#: Seconds between two checks whether a log file was moved.
CHECK_INTERVAL: Final = 0.1
#: Fields that oslo.log's formatter leaves empty when the record does not have them.
EMPTY_BY_DEFAULT: Final = ("color", "user_identity", "resource", "user_name", "project_name", "global_request_id")


class WithoutSummary(logging.Formatter):
    """Format as another formatter does, without the exception that is being handled.

    oslo.log appends its type and text to every line at warning level and above, even where the caller did not ask for
    it (``formatters._get_error_summary``); the text of a handler's exception may contain a secret.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Format a record while a KeyError is being handled: oslo.log leaves out the common built-in exceptions."""
        try:
            raise KeyError
        except KeyError:
            return self.formatter.format(record)


class LineFormatter(WithoutSummary):
    """Format as oslo.log's ``ContextFormatter`` does, with options and constant fields read once.

    oslo.log's formatter reads its options and looks up the time zone for each line: 10.7 µs for a line of the access
    log, where this one takes 3.6 µs (of about 190 µs of CPU for a request answered from the cache). It still formats
    the lines at debug level and those with an exception, an instance or a context of oslo.context.
    """

    def __init__(self, formatter: ContextFormatter) -> None:
        super().__init__(formatter)
        self.formats = formats_of(formatter)
        self.defaults = dict.fromkeys(EMPTY_BY_DEFAULT, "")
        self.constants = {
            "project": formatter.project,
            "version": formatter.version,
            "instance": "",
            "error_summary": "-",
        }
        self.second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = record.__dict__
        if (
            record.levelno <= logging.DEBUG
            or record.exc_info
            or record.exc_text
            or record.stack_info
            or fields.get("instance")
            or "instance_uuid" in fields
            or "context" in fields
            or context.get_current()
        ):
            return super().format(record)
        with_id, without_id = self.formats
        texts = {"message": record.getMessage(), "asctime": self.time_of(record.created)}
        return (with_id if fields.get("request_id") else without_id) % {
            **self.defaults,
            **fields,
            **self.constants,
            **texts,
        }

    def time_of(self, created: float) -> str:
        """Return a time in oslo.log's ``log_date_format``, which is the same for a whole second."""
        second, text = self.second
        if second != int(created):
            text = time.strftime(str(self.formatter.datefmt), time.localtime(created))
            self.second = (int(created), text)
        return text


def formats_of(formatter: ContextFormatter) -> tuple[str, str]:
    """Return oslo.log's formats of a line with a request id and of one without."""
    conf = formatter.conf
    return str(conf.logging_context_format_string), str(conf.logging_default_format_string)


def faster_formatter(formatter: logging.Formatter | None) -> logging.Formatter:
    """Return a formatter for the same lines without the exception's text, faster for oslo.log's usual formats."""
    if type(formatter) is ContextFormatter and formatter.datefmt and "%(isotime)" not in "".join(formats_of(formatter)):
        return LineFormatter(formatter)
    return WithoutSummary(formatter or logging.Formatter())


class LogStream(logging.StreamHandler[TextIO]):
    """Write the lines of one turn of the event loop with one system call; a warning or error at once."""

    is_waiting = False
    is_urgent = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self.is_urgent = record.levelno >= logging.WARNING
        super().emit(record)

    def flush(self) -> None:
        """Flush now, or at the end of this turn of the running event loop."""
        try:
            loop = None if self.is_urgent else asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            super().flush()
        elif not self.is_waiting:
            self.is_waiting = True
            loop.call_soon(self.flush_all)

    def flush_all(self) -> None:
        self.is_waiting = False
        super().flush()


class LogFile(LogStream, WatchedFileHandler):
    """A log file that logrotate may move.

    Python's handler checks before each line, with a system call. This one checks every tenth of a second; what it
    writes until the next check is in the moved file.
    """

    next_check = 0.0

    def reopenIfNeeded(self) -> None:  # noqa: N802 - Python's name
        """Reopen the file if it was moved, checking that at most once in :data:`CHECK_INTERVAL`."""
        if time.monotonic() >= self.next_check:
            self.next_check = time.monotonic() + CHECK_INTERVAL
            super().reopenIfNeeded()


def faster_handler(handler: logging.Handler) -> logging.Handler:
    """Return a handler that writes to the same place with fewer system calls, or this one if there is none."""
    if type(handler) is WatchedFileHandler:
        handler.close()
        ours: logging.Handler = LogFile(handler.baseFilename)
    elif type(handler) is logging.StreamHandler:
        ours = LogStream(handler.stream)
    else:
        return handler
    ours.setFormatter(handler.formatter)
    return ours
