"""The shape of the code: which module may import which, and how long files and functions may be."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ROOT / "vendorsrv"
EXAMPLES = ROOT / "examples"

# Each row may import the rows above it, and nothing of its own row.
LAYERS = (
    ("cloudinit_keys", "columns", "errors", "flights", "lifetime", "pin_table", "strictjson", "threads", "upstream"),
    ("answer", "findings", "http_caching", "payload", "pin_url", "request", "traps"),
    ("cloudinit_schema", "handler"),
    ("cloudinit_text", "outcomes", "settings"),
    ("check_tls", "cloudinit", "keystone_options", "pin_cipher", "pin_store", "shared_store"),
    (
        "auth",
        "cache",
        "cloudinit_mime",
        "credentials",
        "gate",
        "observe",
        "pin_schema",
        "pins",
        "policy",
        "runner",
        "service_account",
    ),
    ("proxy_options",),
    ("proxy", "sample"),
    ("check_pins", "check_policy", "cloudinit_guard", "pin_service", "registry", "watchdog"),
    ("cloudinit_target",),
    ("keeper", "openapi", "pin_admin", "pipeline", "render", "render_check"),
    ("front",),
    ("app", "call", "check_nova", "keystone_process", "local_keystone"),
    ("call_report", "check"),
    ("cli_call", "cli_check", "cli_handlers", "cli_pins", "cli_render", "serve"),
    ("demo",),
    ("cli",),
    ("__main__",),
)

# The public face: it imports what it shows, and nothing imports it.
FACE = "__init__"

# Foreign packages that only these modules may know.
ONLY_IN = {
    "click": {"cli", "cli_call", "cli_check", "cli_handlers", "cli_pins", "cli_render", "columns"},
    "alembic": {"pin_schema"},
    "cryptography": {"check_tls", "pin_cipher"},
    "dogpile": {"shared_store"},
    "fastapi": {"app"},
    "fastapi_offline": {"app"},
    "httpx": {"upstream"},
    "jinja2": {"cloudinit_text"},
    "jsonschema": {"cloudinit_schema"},
    "keystone": {"keystone_process"},
    "keystoneauth1": {
        *("auth", "call", "check_nova", "cli_call", "credentials", "demo", "keystone_options", "local_keystone"),
        "service_account",
    },
    "keystonemiddleware": {"auth", "keystone_options"},
    "openstack": {"credentials"},
    "oslo_cache": {"cache", "shared_store"},
    "oslo_policy": {"policy"},
    "requests": {"call", "check_nova"},
    "sqlalchemy": {"pin_schema", "pin_store", "pin_table", "pin_url"},
    "starlette": {"app", "front"},
    "uvicorn": {"demo", "serve"},
    "waitress": {"keystone_process"},
    "yaml": {"check_policy", "cli_render", "cloudinit", "cloudinit_text"},
}

# Imported by name, and always there with the dependency whose types they are.
PART_OF = {"pydantic_core": "pydantic", "requests": "keystoneauth1", "starlette": "fastapi"}

ROW = {name: number for number, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path.stem for path in PRODUCT.glob("*.py"))
FILES = sorted(path for folder in (PRODUCT, EXAMPLES, ROOT / "tests") for path in folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports anywhere in it; `from a import b` is `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """The modules of vendorsrv that a module of vendorsrv imports; `` stands for the package itself."""
    names = [name.split(".") for name in imports(PRODUCT / f"{module}.py")]
    return {name[1] if len(name) > 2 else "" for name in names if name[0] == "vendorsrv"}


def foreign_imports(path: Path) -> set[str]:
    """The top-level packages, of other projects, that a file imports."""
    tops = {name.partition(".")[0] for name in imports(path)}
    return tops - sys.stdlib_module_names - {"vendorsrv"}


def distribution(requirement: str) -> str:
    """The normalised name of a distribution (PEP 503) that a requirement starts with."""
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def shown(path: Path) -> str:
    """A file's path as messages have it."""
    return str(path.relative_to(ROOT))


def test_every_module_has_a_row() -> None:
    """The table names each module of the product once, and no module that is gone."""
    assert MODULES == sorted([FACE, *ROW])


@pytest.mark.parametrize("module", [name for name in MODULES if name != FACE])
def test_imports_point_down(module: str) -> None:
    """A module imports only from rows above its own in the table, and so never in a circle."""
    wrong = {name for name in own_imports(module) - {"", FACE} if ROW[name] >= ROW[module]}
    assert set() == wrong


@pytest.mark.parametrize("module", [name for name in MODULES if name != FACE])
def test_no_module_imports_the_package_itself(module: str) -> None:
    """Modules name the module that they need, and never the package's public face."""
    assert set() == own_imports(module) & {"", FACE}


@pytest.mark.parametrize("module", MODULES)
def test_foreign_packages_stay_behind_their_module(module: str) -> None:
    """A package that has one place in the design is imported nowhere else."""
    wrong = {name for name in foreign_imports(PRODUCT / f"{module}.py") if module not in ONLY_IN.get(name, {module})}
    assert set() == wrong


@pytest.mark.parametrize("module", MODULES)
def test_every_import_is_a_declared_dependency(module: str) -> None:
    """What the product imports stands in pyproject.toml, and is not there by another package's grace."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    declared = {distribution(requirement) for requirement in requirements}
    sources = packages_distributions()
    names = {PART_OF.get(name, name) for name in foreign_imports(PRODUCT / f"{module}.py")}
    wrong = {name for name in names if not declared & {distribution(source) for source in sources.get(name, [])}}
    assert set() == wrong


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    """A file has one job; past 300 lines it has two."""
    assert 300 >= len(path.read_text().splitlines())


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_no_function_is_longer_than_50_lines(path: Path) -> None:
    """A function fits on one screen, its docstring included."""
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [] == [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 50]
