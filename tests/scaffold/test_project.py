"""``vendorsrv new``: the new package's tests pass, its configuration is valid, and its code is clean."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from tests.support import real_peers as peers
from tests.support.processes import ROOT
from vendorsrv.cli.main import main
from vendorsrv.scaffold.project import install_command

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
    """Create a package."""
    folder = tmp_path_factory.mktemp("new") / "rack-info"
    done = CliRunner().invoke(main, ["new", "rack-info", "--directory", str(folder)])
    assert (0, "") == (done.exit_code, done.stderr)
    return folder


@pytest.fixture(scope="module")
def installed(package: Path) -> dict[str, str]:
    """Return the environment in which the package's wheel is installed."""
    peers.skip_if_unit()
    run(package, "-m", "hatchling", "build", "-t", "wheel")
    (wheel,) = (package / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(package / "dist" / "installed")
    path = os.pathsep.join([str(package / "dist" / "installed"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(package / "dist")}


def run(folder: Path, *command: str, environment: dict[str, str] | None = None) -> str:
    """Run Python, assert that it succeeds, and return its output."""
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


def test_the_command_lists_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is created in a directory of its name; the output lists its files and the next command."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["new", "rack-info"])
    assert [f"rack-info/{path}" for path in FILES] == done.stdout.splitlines()[: len(FILES)]
    source = shlex.quote(f"vendorsrv[testing] @ {ROOT.as_uri()}")
    assert f"Next: cd rack-info && pip install {source} -e '.[test]' && pytest" == done.stdout.splitlines()[-1]
    assert FILES == sorted(str(path.relative_to("rack-info")) for path in Path("rack-info").rglob("*.*"))


def test_all_placeholders_are_replaced(package: Path) -> None:
    """No file of the package contains a placeholder."""
    assert [] == [path for path in FILES if "$" in (package / path).read_text()]


def test_the_tests_of_the_package_pass(package: Path, installed: dict[str, str]) -> None:
    """The new package's tests pass without warnings."""
    quiet = ["--override-ini", "filterwarnings=error\nignore:'cgi' is deprecated:DeprecationWarning"]
    assert " passed" in run(package, "-m", "pytest", "-q", *quiet, environment=installed)


def test_the_configuration_of_the_package_is_valid(package: Path, installed: dict[str, str]) -> None:
    """``vendorsrv check`` reports nothing about the new configuration and its file's mode, once it is filled in."""
    path = package / "rack-info.conf"
    path.write_text(path.read_text().replace("CHANGE-ME", "secret"))
    assert "" == run(package, "-m", "vendorsrv", "check", "--config-file", "rack-info.conf", environment=installed)


def test_the_package_installs_in_a_fresh_environment(package: Path) -> None:
    """The command that is printed installs vendorsrv from where this one came, and the package's tests pass there."""
    peers.skip_if_unit()
    fresh = package.parent / "fresh"
    environment = {**os.environ, "UV_CONSTRAINT": str(ROOT / "requirements" / "dev.txt")}
    run(package, "-m", "uv", "venv", "--quiet", str(fresh), environment=environment)
    command = re.search(r"^pip install (.*)$", (package / "README.md").read_text(), re.MULTILINE)
    assert command
    arguments = ["--python", str(fresh / "bin" / "python"), *shlex.split(command[1])]
    run(package, "-m", "uv", "pip", "install", "--quiet", *arguments, environment=environment)
    done = subprocess.run([fresh / "bin" / "pytest", "-q"], cwd=package, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (None, ""),
        ('{"url": "file:///srv/vendorsrv", "dir_info": {}}', "'vendorsrv[testing] @ file:///srv/vendorsrv' "),
        (
            '{"url": "https://git.example.org/vendorsrv", "vcs_info": {"vcs": "git", "commit_id": "4d2e"}}',
            "'vendorsrv[testing] @ git+https://git.example.org/vendorsrv@4d2e' ",
        ),
    ],
)
def test_vendorsrv_comes_from_where_this_one_came(
    monkeypatch: pytest.MonkeyPatch, record: str | None, source: str
) -> None:
    """A package index, a folder and a repository are each named as pip takes them."""
    monkeypatch.setattr(PathDistribution, "read_text", lambda _, __: record)
    assert f"pip install {source}-e '.[test]'" == install_command()


def test_the_code_of_the_package_is_clean(package: Path) -> None:
    """The new package passes our format, lint and type checks."""
    peers.require("mypy", "no mypy: make test installs it")
    config = str(ROOT / "pyproject.toml")
    run(package, "-m", "ruff", "check", "--config", config, "--no-cache", ".")
    run(package, "-m", "ruff", "format", "--check", "--config", config, "--no-cache", ".")
    kept = ["--cache-dir", str(ROOT / ".cache" / "mypy")]
    run(package, "-m", "mypy", "--config-file", config, *kept, "vendordata_rack_info", "tests/test_rack_info.py")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Rack_Info", "a letter first, and at most 63 characters; try rack-info"),
        ("3par", "and at most 63 characters; try par"),
        ("a--b", "try a-b"),
        ("x" * 64, f"try {'x' * 63}"),
        ("../etc", "try etc"),
        ("!", "and at most 63 characters"),
        ("cloud-init", "cloud-init is not a valid name: vendorsrv uses it itself"),
        ("handler", "handler is not a valid name: vendorsrv uses it itself"),
    ],
)
def test_an_invalid_name_is_an_error(name: str, reason: str, tmp_path: Path) -> None:
    """An invalid name is rejected with a similar valid one, and no file is written."""
    done = CliRunner().invoke(main, ["new", "--directory", str(tmp_path / "new"), "--", name])
    assert (2, []) == (done.exit_code, [*tmp_path.iterdir()])
    assert re.search(f"{re.escape(reason)}\n$", done.stderr)


def test_an_existing_directory_is_an_error(tmp_path: Path) -> None:
    """An existing directory is rejected, even if it is empty."""
    done = CliRunner().invoke(main, ["new", "rack-info", "--directory", str(tmp_path)])
    assert (2, []) == (done.exit_code, [*tmp_path.iterdir()])
    assert f"Error: {tmp_path} already exists; choose another --directory or remove it" == done.stderr.splitlines()[-1]


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error contains the system's reason."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(main, ["new", "rack-info", "--directory", str(tmp_path / "file" / "new")])
    assert 2 == done.exit_code
    assert f"Error: {tmp_path}/file/new cannot be written: Not a directory" == done.stderr.splitlines()[-1]


def test_the_wheel_contains_the_templates(tmp_path: Path) -> None:
    """The wheel of vendorsrv contains the templates, which the command needs where it is installed."""
    run(ROOT, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    templates = "vendorsrv/scaffold/templates"
    assert {f"{templates}/{name}.txt" for name in ("handler.py", "README.md", "sample.conf")} <= {*names}
