"""A new package works as it is written: its test passes, its configuration is right, and its code is clean."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from tests.support import real_peers as peers
from tests.support.processes import ROOT
from vendorsrv.cli.main import main

FILES: Final = [
    "README.md",
    "pyproject.toml",
    "rack-info.conf",
    "tests/test_rack_info.py",
    "vendordata_rack_info/__init__.py",
    "vendordata_rack_info/py.typed",
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as the command writes it."""
    folder = tmp_path_factory.mktemp("new") / "rack-info"
    done = CliRunner().invoke(main, ["new", "rack-info", "--directory", str(folder)])
    assert (0, "") == (done.exit_code, done.stderr)
    return folder


@pytest.fixture(scope="module")
def installed(package: Path) -> dict[str, str]:
    """The environment in which it is installed: a wheel is an archive of what Python has to find."""
    peers.ask()
    run(package, "-m", "hatchling", "build", "-t", "wheel")
    (wheel,) = (package / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(package / "dist" / "installed")
    path = os.pathsep.join([str(package / "dist" / "installed"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(package / "dist")}


def run(folder: Path, *command: str, environment: dict[str, str] | None = None) -> str:
    """Run Python, which must succeed; give what it says."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def test_the_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a folder of the handler's name, and with what to do next."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["new", "rack-info"])
    assert [f"rack-info/{path}" for path in FILES] == done.stdout.splitlines()[: len(FILES)]
    assert "Next: cd rack-info && pip install -e '.[test]' && pytest" == done.stdout.splitlines()[-1]
    assert FILES == sorted(str(path.relative_to("rack-info")) for path in Path("rack-info").rglob("*.*"))


def test_no_placeholder_is_left(package: Path) -> None:
    """Every name stands where it belongs."""
    assert [] == [path for path in FILES if "$" in (package / path).read_text()]


def test_its_test_passes(package: Path, installed: dict[str, str]) -> None:
    """At once, by the kit alone, and without a warning of ours."""
    quiet = ["--override-ini", "filterwarnings=error\nignore:'cgi' is deprecated:DeprecationWarning"]
    assert " passed" in run(package, "-m", "pytest", "-q", *quiet, environment=installed)


def test_its_configuration_is_right(package: Path, installed: dict[str, str]) -> None:
    """`vendorsrv check` finds nothing in it; and nobody else can read the password that will stand there."""
    assert "" == run(package, "-m", "vendorsrv", "check", "--config-file", "rack-info.conf", environment=installed)


def test_its_code_is_clean(package: Path) -> None:
    """The new package has our format, breaks none of our rules, and is strictly typed."""
    peers.require("mypy", "no mypy: make test installs it")
    config = str(ROOT / "pyproject.toml")
    run(package, "-m", "ruff", "check", "--config", config, "--no-cache", ".")
    run(package, "-m", "ruff", "format", "--check", "--config", config, "--no-cache", ".")
    kept = ["--cache-dir", str(ROOT / ".cache" / "mypy")]
    run(package, "-m", "mypy", "--config-file", config, *kept, "vendordata_rack_info", "tests/test_rack_info.py")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Rack_Info", "begins with a letter, and has at most 63 characters; try rack-info"),
        ("3par", "and has at most 63 characters; try par"),
        ("a--b", "try a-b"),
        ("x" * 64, f"try {'x' * 63}"),
        ("../etc", "try etc"),
        ("!", "and has at most 63 characters"),
        ("cloud-init", "cloud-init cannot be a handler's name: it is one of vendorsrv's own"),
        ("handler", "handler cannot be a handler's name: it is one of vendorsrv's own"),
    ],
)
def test_names_that_no_handler_can_have(name: str, reason: str, tmp_path: Path) -> None:
    """They are refused with one that is close, and nothing is written."""
    done = CliRunner().invoke(main, ["new", "--directory", str(tmp_path / "new"), "--", name])
    assert (2, []) == (done.exit_code, [*tmp_path.iterdir()])
    assert re.search(f"{re.escape(reason)}\n$", done.stderr)


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """An existing folder is refused, an empty one too."""
    done = CliRunner().invoke(main, ["new", "rack-info", "--directory", str(tmp_path)])
    assert (2, []) == (done.exit_code, [*tmp_path.iterdir()])
    assert f"Error: {tmp_path} exists already; choose another --directory, or remove it" == done.stderr.splitlines()[-1]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """The reason is the system's."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["new", "rack-info", "--directory", str(tmp_path / "file" / "new")])
    assert 2 == done.exit_code
    assert f"Error: {tmp_path}/file/new cannot be written: Not a directory" == done.stderr.splitlines()[-1]


def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    """Else the command would work in this checkout alone."""
    run(ROOT, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    templates = "vendorsrv/scaffold/templates"
    assert {f"{templates}/{name}.txt" for name in ("handler.py", "README.md", "sample.conf")} <= {*names}
