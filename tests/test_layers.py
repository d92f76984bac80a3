"""The rules of the house: what may import what, where foreign packages are used, and how long files may be."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.support.real_peers import require

ROOT = Path(__file__).parent.parent
PRODUCT = ROOT / "vendorsrv"
MODULES = sorted(PRODUCT.rglob("*.py"))
FILES = sorted(path for name in ("vendorsrv", "examples", "tests", "bench") for path in (ROOT / name).rglob("*.py"))

# Lowest first: a package, or a module beside the packages, imports from the rows below its own.
ROWS = (
    {"concurrency", "errors", "instance", "strictjson", "suggest", "tables"},
    {"answer", "cloudinit", "declarations", "encryption", "request", "telemetry"},
    {"handler", "peers", "watched_file"},
    {"database", "settings"},
    {"auth", "cache", "nova", "pins", "scaffold"},
    {"contract", "proxy"},
    {"facts"},
    {"handlers"},
    {"lifecycle"},
    {"check"},
    {"server"},
    {"demo", "testing"},
    {"cli"},
    {"__main__"},
)
ROW = {name: number for number, names in enumerate(ROWS) for name in names}

# Foreign packages that only these packages of ours may import.
ONLY_IN = {
    "alembic": {"database"},
    "click": {"cli"},
    "cloudinit": {"cloudinit"},
    "cryptography": {"cache", "check", "pins"},
    "dogpile": {"cache"},
    "fastapi": {"server"},
    "h11": {"proxy"},
    "httpx": {"handlers"},
    "jinja2": {"cloudinit"},
    "jsonschema": {"cloudinit"},
    "keystone": {"demo"},
    "keystoneauth1": {"auth", "contract", "demo", "nova", "testing"},
    "keystonemiddleware": {"auth", "testing"},
    "kombu": {"lifecycle"},
    "openstack": {"nova"},
    "oslo_cache": {"cache"},
    "oslo_messaging": {"lifecycle"},
    "oslo_policy": {"auth"},
    "prometheus_client": {"telemetry"},
    "pydantic": {"answer", "declarations", "facts", "handler", "instance", "request"},
    "pydantic_core": {"answer"},
    "pytest": {"contract", "testing"},
    "requests": {"auth", "contract", "nova"},
    "rich": {"cli", "tables"},
    "sqlalchemy": {"database", "lifecycle", "pins", "testing"},
    "starlette": {"server", "testing"},
    "urllib3": {"contract"},
    "uvicorn": {"demo", "server", "testing"},
    "waitress": {"demo"},
    "yaml": {"check", "cli", "cloudinit"},
}

# Always installed with the declared dependency whose types they are.
PART_OF = {
    "kombu": "oslo_messaging",
    "oslo_context": "oslo_log",
    "pydantic_core": "pydantic",
    "requests": "keystoneauth1",
    "starlette": "fastapi",
    "urllib3": "keystoneauth1",
}
# Packages of ours whose imports an extra declares, and the one module that runs under another Python.
EXTRA = {"demo": "demo", "testing": "testing", "contract": "testing", "lifecycle": "listen"}
UNDER_CLOUD_INITS_PYTHON = "cloudinit/dry_run_probe.py"


@cache
def imports(path: Path) -> list[str]:
    """Return the dotted names that a file imports anywhere in it; `from a import b` is `a.b`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def place(path: Path) -> str:
    """Return the package of a module, or the module itself where it stands beside the packages."""
    return path.relative_to(PRODUCT).with_suffix("").parts[0]


def shown(path: Path) -> str:
    """Return a file's path as messages have it."""
    return str(path.relative_to(ROOT))


def own_imports(path: Path) -> Iterator[str]:
    """Yield the names below `vendorsrv` that a module imports."""
    for name in imports(path):
        if name.startswith("vendorsrv."):
            yield name.removeprefix("vendorsrv.")


def foreign_imports(path: Path) -> set[str]:
    """Return the top-level packages of other projects that a file imports."""
    return {name.partition(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"vendorsrv"}


def module_of(name: str) -> str:
    """Return the dotted module that an imported name is, or is in."""
    path = PRODUCT.joinpath(*name.split("."))
    return name if path.with_suffix(".py").exists() or path.is_dir() else name.rpartition(".")[0]


def distribution(requirement: str) -> str:
    """Return the normalised name of a distribution (PEP 503) that a requirement starts with."""
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def test_every_package_has_a_row() -> None:
    """The rows name each package and module of the product once, and nothing else."""
    assert sorted(ROW) == sorted({place(path) for path in MODULES} - {"__init__"})


def test_imports_point_down() -> None:
    """A module imports from its own package and from the rows below it."""
    wrong = [
        f"{shown(path)} imports {name}"
        for path in MODULES
        for name in own_imports(path)
        if place(path) != "__init__" and (top := name.partition(".")[0]) != place(path) and ROW[top] >= ROW[place(path)]
    ]
    assert [] == wrong


def test_no_package_has_a_cycle() -> None:
    """The modules of a package do not import each other in a circle."""
    cycles = []
    for package in sorted({path.parent for path in MODULES} - {PRODUCT}):
        graph = {}
        for path in package.rglob("*.py"):
            name = ".".join(path.relative_to(PRODUCT).with_suffix("").parts).removesuffix(".__init__")
            graph[name] = {module_of(each) for each in own_imports(path)} - {name}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycles.append(error.args[1])
    assert [] == cycles


def test_nothing_imports_the_public_face() -> None:
    """Modules import the module that they need; `vendorsrv` itself is for vendors."""
    tops = {place(path) for path in MODULES}
    wrong = [
        f"{shown(path)} imports {name}"
        for path in MODULES
        for name in own_imports(path)
        if name.partition(".")[0] not in tops
    ]
    assert [] == wrong


def test_no_module_repeats_its_packages_name() -> None:
    """`vendorsrv.pins.pins` would say one thing twice."""
    assert [] == [shown(path) for path in MODULES if path.stem == path.parent.name]


def test_foreign_packages_are_used_where_they_belong() -> None:
    """A foreign package that belongs to some of our packages is imported by no other."""
    wrong = [
        f"{shown(path)} imports {name}"
        for path in MODULES
        for name in sorted(foreign_imports(path))
        if place(path) not in ONLY_IN.get(name, {place(path)})
    ]
    assert [] == wrong


def test_every_import_is_a_declared_dependency() -> None:
    """The product imports no package that is installed only because another package needs it."""
    require("keystone", "no keystone: make test installs it")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sources = packages_distributions()
    wrong = []
    for path in MODULES:
        extra = project["optional-dependencies"].get(EXTRA.get(place(path), ""), [])
        declared = {distribution(each) for each in [*project["dependencies"], *extra]}
        names = {PART_OF.get(name, name) for name in foreign_imports(path)}
        undeclared = [name for name in names if not declared & {distribution(each) for each in sources.get(name, [])}]
        wrong += [f"{shown(path)} imports {name}" for name in undeclared]
    assert [] == [each for each in wrong if UNDER_CLOUD_INITS_PYTHON not in each]


def test_no_file_is_longer_than_300_lines() -> None:
    """A file has one job; past 300 lines it has two."""
    assert [] == [shown(path) for path in FILES if len(path.read_text().splitlines()) > 300]


def test_no_function_is_longer_than_50_lines() -> None:
    """A function fits on one screen, its docstring included."""
    wrong = [
        f"{shown(path)}: {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert [] == wrong
