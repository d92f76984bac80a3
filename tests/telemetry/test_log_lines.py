"""Log lines: equal to oslo.log's, without the text of exceptions, and written together."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from logging.handlers import MemoryHandler, WatchedFileHandler
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_context import context
from oslo_context.context import RequestContext
from oslo_log import log
from oslo_log.formatters import ContextFormatter, JSONFormatter

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import BODY, JSON, free_port, run, serving, write_config
from tests.support.waiting import wait_until
from vendorsrv.telemetry.log_lines import LogFile, LogStream, WithoutSummary, faster_formatter, faster_handler
from vendorsrv.telemetry.logs import AddRequestIds, set_request_ids

DATE = "%Y-%m-%d %H:%M:%S"
#: Formats that operators use; the first one is similar to oslo.log's default.
FORMATS = (
    "%(asctime)s.%(msecs)03d %(levelname)s %(name)s [%(global_request_id)s %(request_id)s] %(instance)s%(message)s",
    "%(color)s%(levelname)s %(project)s %(version)s %(resource)s|%(user_name)s|%(project_name)s %(message)s",
    "%(isotime)s %(message)s",
    "%(message)s (%(error_summary)s)",
    "100%% %(message)s %(funcName)s %(lineno)d",
    "%(project)10s %(version)s %(message)s",
)


@pytest.fixture(autouse=True)
def request_id() -> Iterator[None]:
    """Set the request id, and clear it afterwards."""
    set_request_ids("req-1", None)
    yield
    set_request_ids("", None)


def oslo(text: str = FORMATS[0], datefmt: str = DATE) -> ContextFormatter:
    """Return oslo.log's formatter with one format for lines with a request id, and a similar one for those without."""
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([], project="vendorsrv", default_config_files=[], default_config_dirs=[])
    conf.set_override("logging_context_format_string", text)
    conf.set_override("logging_default_format_string", f"default {text}")
    return ContextFormatter(project="vendorsrv", version="1", datefmt=datefmt, config=conf)


def record(level: int = logging.INFO, message: str = "%s and %r", *args: object, **fields: Any) -> logging.LogRecord:
    """Return a record as a formatter gets it."""
    made = logging.LogRecord("vendorsrv.x", level, __file__, 7, message, args or ("one", "two"), None, "f")
    made.__dict__ |= fields
    AddRequestIds().filter(made)
    return made


def formatted(formatter: ContextFormatter, **fields: Any) -> str:
    """Format a record with our formatter, assert that oslo.log's returns the same line, and return it."""
    ours = record(**fields)
    copy = logging.makeLogRecord(ours.__dict__)
    line = faster_formatter(formatter).format(ours)
    assert WithoutSummary(formatter).format(copy) == line
    return line


@pytest.mark.parametrize("text", FORMATS)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
@pytest.mark.parametrize("request_id", ["", "req-1"])
def test_a_line_equals_oslo_log_s(text: str, level: int, request_id: str) -> None:
    """Each format at each level gives oslo.log's line, within a request and outside."""
    set_request_ids(request_id, None)
    assert "one and 'two'" in formatted(oslo(text), level=level)


@pytest.mark.parametrize(
    "fields",
    [
        {"instance": "i-1 "},
        {"instance_uuid": "uuid-1"},
        {"context": {"user_name": "ann"}},
        {"stack_info": "a stack"},
        {"exc_text": "a text"},
        {"instance": None, "color": "red", "project": "other"},
    ],
    ids=str,
)
def test_a_line_with_rare_fields_equals_oslo_log_s(fields: dict[str, Any]) -> None:
    """A record with an instance, a context, a stack or a cached traceback gives oslo.log's line."""
    formatted(oslo(), **fields)


def test_a_line_with_its_exception_equals_oslo_log_s() -> None:
    """An exception that the caller passed to the logger is formatted with its traceback."""
    try:
        raise ValueError("planted")
    except ValueError:
        assert "ValueError: planted" in formatted(oslo(), exc_info=sys.exc_info())


def test_a_line_of_a_thread_with_a_context_equals_oslo_log_s() -> None:
    """A thread with a context of oslo.context gets its fields in the line."""
    RequestContext(user_id="ann", overwrite=True)
    try:
        assert " req-1]" not in formatted(oslo())
    finally:
        del context._request_store.context  # noqa: SLF001 - nothing else ends it


def test_the_exception_being_handled_is_not_logged() -> None:
    """A warning logged in an except clause does not have the exception's text, which oslo.log would append."""
    try:
        raise RuntimeError("planted")
    except RuntimeError:
        line = faster_formatter(oslo()).format(record(logging.WARNING))
    assert line.endswith(" WARNING vendorsrv.x [- req-1] one and 'two'")


def test_the_cached_time_changes_with_the_second() -> None:
    """Lines of different seconds have different times, although the text is cached."""
    lines = faster_formatter(oslo("%(asctime)s.%(msecs)03d"))
    made = record()
    found = []
    for created in (1e9, 1e9 + 0.5, 1e9 + 1.5, 1e9):
        made.created = created
        found.append(lines.format(made)[17:19])
    assert ["40", "40", "41", "40"] == found


@pytest.mark.parametrize(
    "formatter",
    [None, logging.Formatter("%(message)s"), JSONFormatter(), oslo(datefmt="")],
    ids=lambda formatter: type(formatter).__name__,
)
def test_other_formatters_are_kept(formatter: logging.Formatter | None) -> None:
    """JSON, Python's own formatter and a format without a date are formatted by their formatter."""
    assert WithoutSummary is type(faster_formatter(formatter))
    assert "one and 'two'" in faster_formatter(formatter).format(record())


def test_a_moved_log_file_is_reopened(tmp_path: Path) -> None:
    """After logrotate moves the file, new lines soon go to a new file."""
    log, moved = tmp_path / "log", tmp_path / "log.1"
    with closing(LogFile(str(log))) as handler:
        handler.emit(record(message="first %s %s"))
        log.rename(moved)

        def write() -> bool:
            handler.emit(record(message="later %s %s"))
            return log.exists()

        wait_until(write)
    assert "first one two" == moved.read_text().splitlines()[0]
    assert ["later one two"] == log.read_text().splitlines()


def test_a_watched_file_handler_is_replaced(tmp_path: Path) -> None:
    """oslo.log's handler for a log file is replaced by ours, with the same file and format."""
    file = WatchedFileHandler(tmp_path / "log")
    file.setFormatter(oslo("%(message)s"))
    with closing(faster_handler(file)) as handler:
        handler.emit(record())
    assert ("one and 'two'\n", LogFile) == ((tmp_path / "log").read_text(), type(handler))


@pytest.mark.parametrize("kind", [logging.NullHandler, MemoryHandler], ids=lambda kind: kind.__name__)
def test_other_handlers_are_kept(kind: Any) -> None:
    """A handler that writes neither to a stream nor to a watched file is not replaced."""
    handler = kind(10) if kind is MemoryHandler else kind()
    assert handler is faster_handler(handler)


class Pipe(io.StringIO):
    """A stream that counts its flushes."""

    flushes = 0

    def flush(self) -> None:
        """Count."""
        self.flushes += 1


@pytest.mark.parametrize(("level", "flushes"), [(logging.INFO, [0, 1, 2]), (logging.WARNING, [3, 6, 6])])
def test_lines_of_one_turn_of_the_loop_are_written_together(level: int, flushes: list[int]) -> None:
    """Lines of one turn are flushed together at its end; warnings are flushed at once."""
    pipe = Pipe()
    handler = faster_handler(logging.StreamHandler(pipe))

    async def write() -> list[int]:
        found = []
        for _ in range(2):
            for _ in range(3):
                handler.emit(record(level))
            found.append(pipe.flushes)
            await asyncio.sleep(0)
        return [*found, pipe.flushes]

    assert flushes == run(write())


def test_lines_outside_an_event_loop_are_written_at_once() -> None:
    """A line of another thread, or from before the server starts, is flushed at once."""
    pipe = Pipe()
    faster_handler(logging.StreamHandler(pipe)).emit(record())
    assert 1 == pipe.flushes


def test_lines_of_one_turn_are_one_write_to_standard_error() -> None:
    """Lines reach a stream that Python writes after each line, as it does standard error, at the end of the turn."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with open(reader, "rb", buffering=0) as pipe, open(writer, "w", buffering=1) as stream:
        handler = faster_handler(logging.StreamHandler(stream))

        async def write() -> list[bytes | None]:
            for _ in range(2):
                handler.emit(record())
            before = pipe.read(100)
            await asyncio.sleep(0)
            return [before, pipe.read(100)]

        assert [None, b"one and 'two'\none and 'two'\n"] == run(write())


LOST = "vendorsrv: log lines are lost: No space left on device\n"


@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
def test_lines_for_a_full_disk_are_lost_with_one_line(level: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines for a full disk are lost, in an event loop or not, and standard error says so once, in one line."""

    async def emit() -> None:
        handler.emit(record(level))

    with suppress(OSError), open("/dev/full", "w") as full:
        handler = LogStream(full)
        handler.emit(record(level, "%s %s", "x" * 100_000, ""))  # more than is buffered
        for _ in range(3):
            handler.emit(record(level))
            run(emit())
        assert LOST == capsys.readouterr().err


def test_a_log_file_that_cannot_be_reopened_costs_no_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log file whose folder is gone raises nothing where a line is logged."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with closing(LogFile(str(folder / "log"))) as handler:
        (folder / "log").unlink()
        folder.rmdir()
        handler.emit(record())
    assert "vendorsrv: log lines are lost: No such file or directory\n" == capsys.readouterr().err


def test_a_line_that_cannot_be_formatted_is_reported_as_python_does(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in a call of a logger is shown with its place."""
    LogStream(io.StringIO()).emit(record(logging.INFO, "%d", "text"))
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_server_serves_without_room_for_its_log(tmp_path: Path) -> None:
    """A server whose log is on a full disk answers, and its standard error has no traceback."""
    port = free_port()
    with FakeKeystone() as keystone:
        config = write_config(tmp_path, keystone, port=port, sections="[DEFAULT]\nlog_file = /dev/full\n")
        with serving(config, port) as process:
            process.wait_until_answers()
            with process.client() as client:
                headers = {**JSON, "X-Auth-Token": keystone.issue("service")}
                assert [200] * 20 == [
                    client.post("/echo", content=BODY, headers=headers).status_code for _ in range(20)
                ]
            process.signal(signal.SIGTERM)
            assert 0 == process.end()
    assert {LOST} == set(process.log.read_text().splitlines(keepends=True))
