"""A file that changes: its value, and the last good one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vendorsrv import Handler, ServiceUnavailable, VendordataRequest, WatchedFile
from vendorsrv.testing import serve


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a value."""
    path = tmp_path / "hosts.json"
    path.write_text('{"rack": "b7"}')
    return path


def later() -> float:
    """Return a time at which no change of now is recent."""
    return time.time() + 3600


class Counting:
    """Parse JSON, and count how often."""

    calls = 0

    def __call__(self, text: str) -> Any:
        """Parse a text."""
        self.calls += 1
        return json.loads(text)


def test_a_file_is_read_once(path: Path) -> None:
    """A file that does not change is parsed once, however often its value is used."""
    parse = Counting()
    watched = WatchedFile(path, parse, later)
    assert [{"rack": "b7"}] * 3 == [watched.value for _ in range(3)]
    assert 1 == parse.calls


def replace(path: Path) -> None:
    """Move another file there."""
    other = path.with_name("other")
    other.write_text('{"rack": "c9"}')
    other.replace(path)


@pytest.mark.parametrize("change", [lambda path: path.write_text('{"rack": "c9"}'), replace])
def test_a_file_that_changes_is_read_again(path: Path, change: Callable[[Path], object]) -> None:
    """A file that was rewritten in place or replaced has its new value, also at once and with the same size."""
    watched = WatchedFile(path, json.loads)
    assert {"rack": "b7"} == watched.value
    change(path)
    assert {"rack": "c9"} == watched.value


def spoil(path: Path) -> None:
    """Write what is no JSON."""
    path.write_text('{"planted-secret": ')


def no_text(path: Path) -> None:
    """Write what is no UTF-8."""
    path.write_bytes(b'{"rack": "\xff"}')


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (Path.unlink, "No such file or directory"),
        (spoil, "JSONDecodeError"),
        (no_text, "UnicodeDecodeError"),
    ],
)
def test_the_last_good_value_is_kept(
    path: Path, harm: Callable[[Path], object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is gone or wrong leaves the last good value, with one warning that has none of its text."""
    watched = WatchedFile(path, json.loads, later)
    assert {"rack": "b7"} == watched.value
    harm(path)
    assert [{"rack": "b7"}] * 2 == [watched.value, watched.value]
    (line,) = caplog.messages
    assert line.startswith(f"file {path} cannot be used: {reason}")
    assert line.endswith("; the last good value is kept")
    assert "planted" not in line
    path.write_text('{"rack": "c9"}')
    assert {"rack": "c9"} == watched.value


def test_without_a_good_value_the_handler_is_unavailable(tmp_path: Path) -> None:
    """A handler whose file was never there is answered 503, until it is."""
    hosts = tmp_path / "hosts.json"

    class Rack(Handler):
        """Tell the rack."""

        def __init__(self, settings: Any = None) -> None:
            super().__init__(settings)
            self.hosts: WatchedFile[Any] = WatchedFile(str(hosts), json.loads)

        def handle(self, request: VendordataRequest) -> Any:
            """Return the file's value."""
            return self.hosts.value

    with serve(Rack) as server:
        answer = server.ask()
        assert (503, "a file of the server cannot be read") == (answer.status, answer.message)
        hosts.write_text("null")
        assert {} == server.ask().json
        hosts.write_text('{"rack": "b7"}')
        assert {"rack": "b7"} == server.ask().json


def test_a_file_that_vanishes_while_it_is_read_is_missing(path: Path) -> None:
    """A file that its reader removes is looked at again."""

    def parse(text: str) -> str:
        path.unlink()
        return text

    watched = WatchedFile(path, parse)
    assert ['{"rack": "b7"}'] * 2 == [watched.value, watched.value]


def test_a_good_value_may_be_nothing(path: Path) -> None:
    """None is a value as any other."""
    path.write_text("null")
    assert None is WatchedFile(path, json.loads).value


def test_a_wrong_file_at_first_raises(path: Path) -> None:
    """A file that was never right has no value."""
    spoil(path)
    with pytest.raises(ServiceUnavailable):
        _ = WatchedFile(path, json.loads).value
