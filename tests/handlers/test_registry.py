"""Handlers that the operator enabled: found, or refused by name with the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.handlers import broken
from tests.support.serving import run, write_config
from vendorsrv import ConfigError, Settings
from vendorsrv.handlers.registry import Registry, find

HANDLERS = Path(broken.__file__).parent
GOOD = "tests.support.handlers.good"
BROKEN = "tests.support.handlers.broken"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package that has only entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(distribution: str, entry_points: Mapping[str, str]) -> None:
        information = tmp_path / f"{distribution}-1.2.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
        (information / "entry_points.txt").write_text("".join(["[vendorsrv.handlers]\n", *lines]))

    return add

    return add


def registry(directory: Path, handlers: str, sections: str = "") -> Registry:
    """The registry of a server with these handlers."""
    return Registry(Settings.from_file(write_config(directory, handlers=handlers, sections=sections)))


def problems(directory: Path, handlers: str, sections: str = "") -> list[str]:
    """What is wrong with a server with these handlers."""
    with pytest.raises(ConfigError) as caught:
        registry(directory, handlers, sections)
    return str(caught.value).splitlines()


def test_handlers_are_served_in_the_configured_order(tmp_path: Path) -> None:
    """Each has its name, its source, and where it runs."""
    found = registry(tmp_path, f"{GOOD}:Plain, {GOOD}:Echo").handlers
    assert [("plain", f"{GOOD}:Plain", "thread"), ("echo", f"{GOOD}:Echo", "event loop")] == [
        (each.name, each.source, each.runs_in) for each in found.values()
    ]


def test_an_installed_handler_is_found_by_its_name(tmp_path: Path, install: Install) -> None:
    """Its source is the distribution and its version."""
    install("mail-handlers", {"echo": f"{GOOD}:Echo"})
    assert "mail-handlers 1.2" == registry(tmp_path, "echo").handlers["echo"].source


def test_only_enabled_handlers_are_loaded(tmp_path: Path, install: Install) -> None:
    """A broken handler in the same distribution does no harm."""
    install("mail-handlers", {"echo": f"{GOOD}:Echo", "exits": "tests.support.handlers.exits:Exits"})
    registry(tmp_path, "echo")
    assert "tests.support.handlers.exits" not in sys.modules


IMPORTS = {
    "exits": ("SystemExit: 3", "exits.py:5 in <module>"),
    "asserting": ("AssertionError: no device", "asserting.py:3 in <module>"),
    "needing": ("ModuleNotFoundError: No module named 'no_such_package'", "needing.py:3 in <module>"),
    "contradicting": (
        f"HandlerDefinitionError: {HANDLERS}/contradicting.py:6: class Contradicting: timeout is 0; ",
        "handler.py:",
    ),
}


@pytest.mark.parametrize("module", IMPORTS)
def test_a_module_that_cannot_be_imported_is_an_error(tmp_path: Path, module: str) -> None:
    """The error has the exception and its line, in one line."""
    error, place = IMPORTS[module]
    (problem,) = problems(tmp_path, f"tests.support.handlers.{module}:X")
    assert problem.startswith(
        f"handler tests.support.handlers.{module}:X: import of tests.support.handlers.{module} raised {error}"
    )
    assert place in problem


@pytest.mark.parametrize("module", IMPORTS)
def test_an_entry_point_that_cannot_be_imported_is_an_error(tmp_path: Path, install: Install, module: str) -> None:
    """The error names the distribution, the exception and its line."""
    install("mail-handlers", {"mail": f"tests.support.handlers.{module}:X"})
    error, place = IMPORTS[module]
    (problem,) = problems(tmp_path, "mail")
    assert problem.startswith(f"handler mail: import of mail-handlers 1.2 raised {error}")
    assert place in problem


def test_a_module_with_a_syntax_error_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the file and the line."""
    (tmp_path / "no_python.py").write_text("x = 1\ndef (\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = problems(tmp_path, "no_python:X")
    assert problem.startswith(
        "handler no_python:X: import of no_python raised SyntaxError: invalid syntax (no_python.py, line 2) ("
    )


@pytest.mark.parametrize(
    ("handlers", "problem"),
    [
        (f"{GOOD}:Ecko", f"handler {GOOD}:Ecko: {GOOD} has no Handler 'Ecko'; did you mean Echo?"),
        (f"{BROKEN}:EVENTS", f"handler {BROKEN}:EVENTS: {BROKEN} has no Handler 'EVENTS'; available: Abstract, Echo, "),
        (f"{BROKEN}:Handler", f"handler {BROKEN}:Handler: {BROKEN} has no Handler 'Handler'; "),
        ("json:", "handler json:: json has no Handler ''"),
        (":X", "handler :X: import of  raised ValueError: Empty module name ("),
        ("ekho-of-nobody", "handler ekho-of-nobody: no installed package provides it"),
        (f"{BROKEN}:Abstract", "handler abstract: class Abstract has no handle method"),
        (
            f"{GOOD}:Echo, {BROKEN}:Echo",
            f"handler echo is enabled twice: from {GOOD}:Echo and from {BROKEN}:Echo",
        ),
        (f"{GOOD}:Echo, {GOOD}:Echo", f"handler echo is enabled twice: from {GOOD}:Echo and from {GOOD}:Echo"),
        (f"{BROKEN}:Needy", "[handler:needy] domain: required; The mail domain."),
        (f"{BROKEN}:Picky", "handler picky: Picky(): relay and domain are the same host"),
        (f"{BROKEN}:Fragile", f"handler fragile: Fragile() raised LookupError: no device ({HANDLERS}/broken.py:"),
    ],
)
def test_a_handler_that_cannot_be_served_is_an_error(tmp_path: Path, handlers: str, problem: str) -> None:
    """The error is one line that says what to change."""
    (found,) = problems(tmp_path, handlers)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("entry_points", "problem"),
    [
        ({"echoes": f"{GOOD}:Echo"}, "the entry point of mail-handlers 1.2 loads a class named 'echo'; "),
        ({"echoes": f"{GOOD}:cfg"}, "the entry point of mail-handlers 1.2 is not a subclass of Handler"),
        ({"echoes": "vendorsrv:Handler"}, "the entry point of mail-handlers 1.2 is not a subclass of Handler"),
        ({"echoes": f"{GOOD}:Gone"}, "import of mail-handlers 1.2 raised AttributeError: "),
        ({"echos": f"{GOOD}:Echo"}, "no installed package provides it; did you mean echos?"),
    ],
)
def test_an_entry_point_that_is_not_a_handler_is_an_error(
    tmp_path: Path, install: Install, entry_points: dict[str, str], problem: str
) -> None:
    """The error names the distribution."""
    install("mail-handlers", entry_points)
    (found,) = problems(tmp_path, "echoes")
    assert found.startswith(f"handler echoes: {problem}")


def test_a_handler_that_two_distributions_provide_is_an_error(tmp_path: Path, install: Install) -> None:
    """The error names both distributions."""
    install("mail-handlers", {"echo": f"{GOOD}:Echo"})
    install("other-handlers", {"echo": f"{BROKEN}:Echo"})
    assert ["handler echo: more than one package provides it: mail-handlers 1.2 and other-handlers 1.2"] == problems(
        tmp_path, "echo"
    )


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    """Five wrong handlers are five lines of one error."""
    handlers = f"{BROKEN}:Abstract, {BROKEN}:Needy, {BROKEN}:Picky, {GOOD}:Echo, json:X"
    assert 5 == len(problems(tmp_path, handlers, "[handler:needy]\nlevel = 0\n"))


def test_a_handler_gets_its_options(tmp_path: Path) -> None:
    """Its settings are frozen attributes that ``repr`` does not show."""
    sections = "[handler:needy]\ndomain = example.org\n"
    settings = registry(tmp_path, f"{BROKEN}:Needy", sections).handlers["needy"].handler.settings
    assert ("example.org", 1, False) == (settings.domain, settings.level, "example.org" in repr(settings))
    with pytest.raises(AttributeError):
        settings.domain = "example.net"


def test_the_operator_overrides_what_the_class_declares(tmp_path: Path) -> None:
    """``timeout`` and ``threads`` of a section hold for that handler alone."""
    sections = "[handler:plain]\ntimeout = 1.5\nthreads = 3\n"
    found = registry(tmp_path, f"{GOOD}:Plain, {GOOD}:Echo", sections).handlers
    assert [(1.5, 3), (4.0, 8)] == [(each.timeout, each.threads) for each in found.values()]


def test_contradicting_options_are_an_error(tmp_path: Path) -> None:
    """``pin`` with ``cache_for`` is refused in a section as in a class."""
    assert [
        "[handler:plain] pin and cache_for exclude each other: a pinned answer is read from the pin store each time"
    ] == problems(tmp_path, f"{GOOD}:Plain", "[handler:plain]\npin = yes\ncache_for = 60\n")


def lifetime(directory: Path, handlers: str) -> list[str]:
    """Open and close handlers; give what happened."""
    broken.EVENTS.clear()
    built = registry(directory, handlers)

    async def live() -> None:
        try:
            async with built.opened():
                broken.EVENTS.append("serving")
        except ConfigError as error:
            broken.EVENTS.append(str(error).partition(" (")[0])

    run(live())
    return list(broken.EVENTS)


@pytest.mark.parametrize(
    ("handlers", "events"),
    [
        (
            "First Second",
            ["first opened", "second opened", "serving", "second closed", "first closed"],
        ),
        (
            "First Unopenable Second",
            [
                "first opened",
                "first closed",
                "handler unopenable: open() raised OSError: no route to the address store",
            ],
        ),
        ("Leaky", ["handler leaky: open() raised OSError: no answer of https://***@store/x?*** with ***"]),
        (
            "First Unclosable",
            [
                "first opened",
                "second opened",
                "serving",
                "first closed",
                "handler unclosable: close() raised OSError: the pool is in use",
            ],
        ),
    ],
)
def test_handlers_are_opened_in_order_and_closed_in_reverse(tmp_path: Path, handlers: str, events: list[str]) -> None:
    """Whichever fails to open or close, all that were opened are closed."""
    assert events == lifetime(tmp_path, ", ".join(f"{BROKEN}:{name}" for name in handlers.split()))


def test_find_returns_handlers_and_problems() -> None:
    """One wrong name does not hide the other handlers."""
    found, problems = find([f"{GOOD}:Echo", "json:X"])
    assert ([f"{GOOD}:Echo"], ["handler json:X: json has no Handler 'X'"]) == (
        [each.source for each in found],
        problems,
    )
