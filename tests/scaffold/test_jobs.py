"""``vendorsrv new --like``: the jobs of examples/jobs, and the packages that begin with them."""

from __future__ import annotations

import ast
import os
import re
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from tests.scaffold.test_project import run
from tests.support import real_peers as peers
from tests.support.processes import ROOT
from vendorsrv.cli.main import main
from vendorsrv.scaffold.job import normalized, requirements

JOBS: Final = ["attestation", "consul-documents", "enrolment", "hardening", "join-token", "ssh-keys"]
FOLDER: Final = ROOT / "examples" / "jobs"
EACH: Final = pytest.mark.parametrize("job", JOBS)


def source(job: str) -> str:
    """Return the code of a job."""
    return (FOLDER / f"{job.replace('-', '_')}.py").read_text()


def new(folder: Path, name: str, *like: str) -> Path:
    """Create a package with the command."""
    done = CliRunner().invoke(main, ["new", name, "--directory", str(folder / name), *like])
    assert (0, "") == (done.exit_code, done.stderr)
    return folder / name


def test_each_job_is_there_with_its_test() -> None:
    """The folder has the six jobs, a test for each, and nothing beside them."""
    modules = [job.replace("-", "_") for job in JOBS]
    assert {*modules, *(f"test_{name}" for name in modules)} == {path.stem for path in FOLDER.glob("*.py")}


def test_the_jobs_are_short() -> None:
    """A job has at most 60 lines, and most have less than 40."""
    lengths = sorted(len(source(job).splitlines()) for job in JOBS)
    assert 60 >= lengths[-1]
    assert 40 > lengths[3]


@EACH
def test_a_job_needs_nothing_beside_vendorsrv(job: str) -> None:
    """A job imports the standard library, vendorsrv and what vendorsrv depends on."""
    tops = {name.partition(".")[0] for name in imported(source(job))} - sys.stdlib_module_names - {"vendorsrv"}
    declared = {normalized(each) for each in requirements(source(job))}
    known = packages_distributions()
    assert set() == {top for top in tops if not declared & {normalized(each) for each in known[top]}}


def imported(code: str) -> list[str]:
    """Return the modules that code imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]


@pytest.fixture(scope="module", params=JOBS)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a package like a job."""
    return new(tmp_path_factory.mktemp("new"), "site-thing", "--like", request.param)


@pytest.fixture(scope="module")
def installed(package: Path) -> dict[str, str]:
    """Return the environment in which the package's wheel is installed, and this repository's examples are not."""
    peers.skip_if_unit()
    run(package, "-m", "hatchling", "build", "-t", "wheel")
    (wheel,) = (package / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(package / "dist" / "installed")
    return {**os.environ, "PYTHONPATH": str(package / "dist" / "installed"), "XDG_CACHE_HOME": str(package / "dist")}


def test_the_tests_of_the_package_pass(package: Path, installed: dict[str, str]) -> None:
    """The tests of the job pass in the new package."""
    quiet = ["--override-ini", "filterwarnings=error\nignore:'cgi' is deprecated:DeprecationWarning"]
    assert " passed" in run(package, "-m", "pytest", "-q", *quiet, environment=installed)


def test_the_configuration_of_the_package_is_valid(package: Path, installed: dict[str, str]) -> None:
    """``vendorsrv check`` reports nothing about the new configuration, once the passwords are filled in."""
    path = package / "site-thing.conf"
    path.write_text(path.read_text().replace("CHANGE-ME", "secret"))
    assert "" == run(package, "-m", "vendorsrv", "check", "--config-file", "site-thing.conf", environment=installed)


def test_no_name_of_the_job_is_left(package: Path) -> None:
    """Class, name, section and module are the new ones everywhere."""
    for path in [*package.rglob("*.py"), package / "pyproject.toml", package / "site-thing.conf"]:
        assert not re.search(r"examples\.jobs|\$", path.read_text())
    code = (package / "vendordata_site_thing" / "__init__.py").read_text()
    assert "class SiteThing(Handler):" in code
    assert '    name = "site-thing"' in code
    assert "[handler:site-thing]" in (package / "site-thing.conf").read_text()


def test_the_readme_explains_the_options(package: Path) -> None:
    """The README says what the package is a copy of, and lists each option of the configuration."""
    readme = (package / "README.md").read_text()
    assert re.search(r"It begins as the example [a-z-]+ of vendorsrv\.", readme)
    settings = (package / "site-thing.conf").read_text().partition("[handler:site-thing]\n")[2].partition("\n\n")[0]
    names = [line.removeprefix("# ").partition(" ")[0] for line in settings.splitlines()]
    assert names == re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)


def test_the_code_of_the_packages_is_clean(tmp_path: Path) -> None:
    """The new packages pass the jobs' format, lint and type checks."""
    peers.require("mypy", "no mypy: make test installs it")
    config = ["--config", str(FOLDER / "ruff.toml"), "--no-cache", "."]
    files = []
    for job in JOBS:
        package = new(tmp_path, f"site-{job}", "--like", job)
        files += [str(path.relative_to(tmp_path)) for path in sorted(package.rglob("*.py"))]
        run(package, "-m", "ruff", "check", *config)
        run(package, "-m", "ruff", "format", "--check", *config)
    path = os.pathsep.join(str(each) for each in [ROOT, *tmp_path.iterdir()])
    kept = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".cache" / "mypy")]
    run(tmp_path, "-m", "mypy", *kept, *files, environment={**os.environ, "MYPYPATH": path})


def test_a_package_may_have_the_name_of_its_job(tmp_path: Path) -> None:
    """The name of the job is as good as any other."""
    package = new(tmp_path, "hardening", "--like", "hardening")
    assert "class Hardening(Handler):" in (package / "vendordata_hardening" / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["x", "--like", "sshkeys"], "hardening, join-token, ssh-keys; did you mean ssh-keys?"),
        (["x", "--like", "quota"], f"there is no job quota: there are {', '.join(JOBS)}"),
        (["x", "--like", "../jobs/enrolment"], f"there is no job ../jobs/enrolment: there are {', '.join(JOBS)}; did"),
        (["cloud-config", "--like", "hardening"], "cloud-config is not a valid name: hardening uses it itself"),
        (["reply", "--like", "join-token"], "reply is not a valid name: join-token uses it itself"),
    ],
)
def test_what_cannot_be_made(arguments: list[str], reason: str, tmp_path: Path) -> None:
    """A job that there is not, or a name that the job uses for something else, is refused, and nothing is written."""
    done = CliRunner().invoke(main, ["new", *arguments, "--directory", str(tmp_path / "new")])
    assert (2, []) == (done.exit_code, [*tmp_path.iterdir()])
    assert reason in done.stderr


def test_the_wheel_has_the_jobs(tmp_path: Path) -> None:
    """An installed vendorsrv creates packages like each job."""
    run(ROOT, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    for job in JOBS:
        command = ["-m", "vendorsrv", "new", f"site-{job}", "--like", job]
        assert f"site-{job}/README.md" in run(tmp_path, *command, environment=environment)
        package = tmp_path / f"site-{job}" / f"vendordata_site_{job.replace('-', '_')}"
        assert source(job).splitlines()[0] == (package / "__init__.py").read_text().splitlines()[0]
