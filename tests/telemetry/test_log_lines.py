"""Lines that are oslo.log's own, to the letter, and made faster."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from logging.handlers import MemoryHandler, WatchedFileHandler
from pathlib import Path
from typing import Any, TextIO

import pytest
from oslo_config import cfg
from oslo_context import context
from oslo_context.context import RequestContext
from oslo_log import log
from oslo_log.formatters import ContextFormatter, JSONFormatter

from tests.support.serving import run
from tests.support.waiting import wait_until
from vendorsrv.telemetry.log_lines import Lines, LogFile, Shortcut, WithoutSummary, as_lines, as_our_own
from vendorsrv.telemetry.logs import AddRequestIds, begin

DATE = "%Y-%m-%d %H:%M:%S"
#: Formats as operators have them, oslo.log's own among them.
FORMATS = (
    "%(asctime)s.%(msecs)03d %(levelname)s %(name)s [%(global_request_id)s %(request_id)s] %(instance)s%(message)s",
    "%(color)s%(levelname)s %(project)s %(version)s %(resource)s|%(user_name)s|%(project_name)s %(message)s",
    "%(isotime)s %(message)s",
    "%(message)s (%(error_summary)s)",
    "100%% %(message)s %(funcName)s %(lineno)d",
)


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    """The ids of one request, and no context of oslo.context's from another test."""
    begin("req-1", None)
    yield
    begin("", None)


def oslo(text: str = FORMATS[0], datefmt: str = DATE) -> ContextFormatter:
    """oslo.log's formatter, with one format for all lines."""
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([], project="vendorsrv", default_config_files=[], default_config_dirs=[])
    conf.set_override("logging_context_format_string", text)
    conf.set_override("logging_default_format_string", f"default {text}")
    return ContextFormatter(project="vendorsrv", version="1", datefmt=datefmt, config=conf)


def record(level: int = logging.INFO, message: str = "%s and %r", *args: object, **fields: Any) -> logging.LogRecord:
    """A record as it comes to a handler's formatter."""
    made = logging.LogRecord("vendorsrv.x", level, __file__, 7, message, args or ("one", "two"), None, "f")
    made.__dict__ |= fields
    AddRequestIds().filter(made)
    return made


def same(formatter: ContextFormatter, **fields: Any) -> str:
    """Format the same record in both ways, ask for the same line, and give it."""
    made = record(**fields)
    copy = logging.makeLogRecord(made.__dict__)
    line = as_lines(formatter).format(made)
    assert WithoutSummary(formatter).format(copy) == line
    return line


@pytest.mark.parametrize("text", FORMATS)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
@pytest.mark.parametrize("request_id", ["", "req-1"])
def test_a_line_is_oslo_log_s(text: str, level: int, request_id: str) -> None:
    """In each format, at each level, inside of a request and outside."""
    begin(request_id, None)
    assert "one and 'two'" in same(oslo(text), level=level)


@pytest.mark.parametrize(
    "fields",
    [
        {"instance": "i-1 "},
        {"instance_uuid": "uuid-1"},
        {"context": {"user_name": "ann"}},
        {"stack_info": "a stack"},
        {"exc_text": "a text"},
    ],
    ids=str,
)
def test_a_line_with_more_is_oslo_log_s(fields: dict[str, Any]) -> None:
    """What few lines have."""
    same(oslo(), **fields)


def test_a_line_with_its_exception_is_oslo_log_s() -> None:
    """When somebody gave one to the logger."""
    try:
        raise ValueError("planted")
    except ValueError:
        assert "ValueError: planted" in same(oslo(), exc_info=sys.exc_info())


def test_a_line_of_a_thread_with_a_context_is_oslo_log_s() -> None:
    """A library may have made one."""
    RequestContext(user_id="ann", overwrite=True)
    try:
        assert " req-1]" not in same(oslo())
    finally:
        del context._request_store.context  # noqa: SLF001 - nothing else ends it


def test_the_exception_that_is_being_handled_stays_out() -> None:
    """Its text may be a secret."""
    try:
        raise RuntimeError("planted")
    except RuntimeError:
        line = Lines(oslo()).format(record(logging.WARNING))
    assert line.endswith(" WARNING vendorsrv.x [- req-1] one and 'two'")


def test_each_second_has_its_own_time() -> None:
    """It is put into words once for all lines of the second."""
    lines = Lines(oslo("%(asctime)s.%(msecs)03d"))
    made = record()
    found = []
    for created in (1e9, 1e9 + 0.5, 1e9 + 1.5, 1e9):
        made.created = created
        found.append(lines.format(made)[17:19])
    assert ["40", "40", "41", "40"] == found


@pytest.mark.parametrize(
    "formatter", [None, logging.Formatter("%(message)s"), JSONFormatter(), oslo(datefmt="")], ids=repr
)
def test_other_formats_are_left_to_their_formatter(formatter: logging.Formatter | None) -> None:
    """But for the exception."""
    assert WithoutSummary is type(as_lines(formatter))
    assert "one and 'two'" in as_lines(formatter).format(record())


def test_a_file_that_was_moved_is_made_anew_before_long(tmp_path: Path) -> None:
    """As logrotate leaves it; what is written meanwhile is in the file that was moved."""
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


def test_a_log_file_of_oslo_log_s_is_written_by_ours(tmp_path: Path) -> None:
    """In the same format."""
    file = WatchedFileHandler(tmp_path / "log")
    file.setFormatter(oslo("%(message)s"))
    with closing(as_our_own(file)) as handler:
        handler.emit(record())
    assert ("one and 'two'\n", LogFile) == ((tmp_path / "log").read_text(), type(handler))


@pytest.mark.parametrize("kind", [logging.NullHandler, MemoryHandler], ids=lambda kind: kind.__name__)
def test_what_writes_in_another_way_is_left_alone(kind: Any) -> None:
    """To syslog, say."""
    handler = kind(10) if kind is MemoryHandler else kind()
    assert handler is as_our_own(handler)


class Pipe(io.StringIO):
    """A stream that says how often it was flushed."""

    flushes = 0

    def flush(self) -> None:
        """Count."""
        self.flushes += 1


@pytest.mark.parametrize(("level", "flushes"), [(logging.INFO, [0, 1, 2]), (logging.WARNING, [3, 6, 6])])
def test_lines_of_one_turn_of_the_loop_are_written_together(level: int, flushes: list[int]) -> None:
    """Unless somebody has to see them; and not later than the loop waits."""
    pipe = Pipe()
    handler = as_our_own(logging.StreamHandler(pipe))

    async def write() -> list[int]:
        found = []
        for _ in range(2):
            for _ in range(3):
                handler.emit(record(level))
            found.append(pipe.flushes)
            await asyncio.sleep(0)
        return [*found, pipe.flushes]

    assert flushes == run(write())


def test_lines_outside_of_a_loop_are_written_at_once() -> None:
    """In a thread, or before the server has started."""
    pipe = Pipe()
    as_our_own(logging.StreamHandler(pipe)).emit(record())
    assert 1 == pipe.flushes


class Tree:
    """A logger below a root of its own, which writes as the server does."""

    def __init__(self, stream: TextIO, text: str = FORMATS[0]) -> None:
        self.root = logging.RootLogger(logging.INFO)
        manager = logging.Manager(self.root)
        self.logger = manager.getLogger("vendorsrv.x")
        self.logger.root = self.root  # type: ignore[misc]
        self.handler = as_our_own(logging.StreamHandler(stream))
        self.handler.setFormatter(as_lines(oslo(text)))
        self.handler.addFilter(AddRequestIds())
        self.root.addHandler(self.handler)
        self.shortcut = Shortcut(self.logger)

    def write(self, message: str) -> bool:
        """Take the shortcut."""
        ids = {"request_id": "req-1", "global_request_id": "-", "user_identity": "-"}
        return self.shortcut.is_open() and self.shortcut.write(message, **ids)


@pytest.mark.parametrize("text", [FORMATS[0], FORMATS[1], FORMATS[3]])
def test_a_line_is_the_same_on_its_shortcut(text: str) -> None:
    """But for the time, of which no two lines have the same."""
    stream = io.StringIO()
    tree = Tree(stream, text)
    assert tree.write("one and 'two'")
    tree.logger.info("%s and %r", "one", "two")
    short, long = (re.sub(r"^\S+ \S+\d", "", line) for line in stream.getvalue().splitlines())
    assert short == long


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.root.addHandler(logging.NullHandler()),
        lambda tree: tree.logger.addHandler(logging.NullHandler()),
        lambda tree: tree.logger.addFilter(AddRequestIds()),
        lambda tree: tree.shortcut.parent.addHandler(logging.NullHandler()),
        lambda tree: RequestContext(overwrite=True),
    ],
)
def test_the_shortcut_is_closed_when_somebody_wants_the_records(change: Callable[[Tree], object]) -> None:
    """A handler that was added later, say, as those for tests and for reports of errors are."""
    tree = Tree(io.StringIO())
    try:
        before = tree.shortcut.is_open()
        change(tree)
        assert (True, False) == (before, tree.shortcut.is_open())
    finally:
        vars(context._request_store).clear()  # noqa: SLF001 - nothing else ends it


@pytest.mark.parametrize(
    "change",
    [
        lambda handler: handler.setFormatter(as_lines(oslo(FORMATS[2]))),
        lambda handler: handler.setFormatter(logging.Formatter()),
        lambda handler: handler.setLevel(logging.WARNING),
        lambda handler: handler.addFilter(lambda _: True),
    ],
)
def test_there_is_no_shortcut_for_lines_that_are_not_the_server_s_own(change: Callable[[Any], object]) -> None:
    """Or that somebody else looks at."""
    tree = Tree(io.StringIO())
    change(tree.handler)
    assert False is Shortcut(tree.logger).is_open()


def test_a_line_that_cannot_be_written_is_left_to_python() -> None:
    """Which says so on the terminal, and goes on."""
    tree = Tree(io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert [False, True] == [tree.write("caf\u00e9"), tree.write("coffee")]


def test_a_file_is_written_by_the_shortcut_as_well(tmp_path: Path) -> None:
    """It may have been moved."""
    with closing(LogFile(str(tmp_path / "log"))) as handler:
        handler.put("first")
        (tmp_path / "log").rename(tmp_path / "moved")
        handler.look_at = 0.0
        handler.put("second")
    assert "second\n" == (tmp_path / "log").read_text()
