"""The shape of the code: which module may import which, and how long files and functions may be."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ROOT / "vendorsrv"
EXAMPLES = ROOT / "examples"

# Each row may import the rows above it, and nothing of its own row.
LAYERS = (
    (
        "cloudinit_keys",
        "columns",
        "errors",
        "flights",
        "lifetime",
        "pin_reader",
        "pin_table",
        "strictjson",
        "supervisor",
        "threads",
        "turns",
        "upstream",
    ),
    (
        "answer",
        "findings",
        "http_caching",
        "payload",
        "pin_connections",
        "pin_url",
        "request",
        "shared_counts",
        "traps",
    ),
    ("cloudinit_schema", "handler", "metrics"),
    ("cloudinit_text", "metrics_text", "new", "outcomes", "settings"),
    ("check_tls", "cloudinit", "keystone_options", "log_lines", "pin_cipher", "pin_store", "shared_store"),
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
    ("call_report", "check", "contract_wire"),
    ("cli_call", "cli_check", "cli_handlers", "cli_new", "cli_pins", "cli_render", "contract_talk", "serve"),
    ("contract_case", "demo"),
    ("contract_again", "contract_answer", "contract_body", "contract_caller", "contract_cloudinit", "contract_time"),
    ("contract",),
    ("contract_docs", "contract_report"),
    ("contract_junit", "contract_pytest"),
    ("cli_contract",),
    ("cli",),
    ("__main__",),
)

# The public face: it imports what it shows, and nothing imports it.
FACE = "__init__"

# The kit for vendors' tests, beside the product: it may import all of it, and nothing of it imports the kit.
KIT = (
    ("answers", "bodies", "clock", "given", "listening", "loopback", "misbehaviour", "switch"),
    ("keystone", "stores", "upstream"),
    ("pin_store",),
    ("server",),
    ("plugin",),
)

# Foreign packages that only these modules may know.
ONLY_IN = {
    "click": {
        *("cli", "cli_call", "cli_check", "cli_contract", "cli_handlers", "cli_new", "cli_pins", "cli_render"),
        "columns",
    },
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
        *("contract_body", "contract_talk", "contract_wire", "service_account"),
    },
    "keystonemiddleware": {"auth", "keystone_options"},
    "openstack": {"credentials"},
    "oslo_cache": {"cache", "shared_store"},
    "oslo_policy": {"policy"},
    "prometheus_client": {"metrics_text"},
    "pytest": {"contract_pytest"},
    "requests": {"call", "check_nova", "contract_wire"},
    "sqlalchemy": {"pin_connections", "pin_schema", "pin_store", "pin_table", "pin_url"},
    "starlette": {"app", "front"},
    "urllib3": {"contract_wire"},
    "uvicorn": {"demo", "serve", "supervisor"},
    "waitress": {"keystone_process"},
    "yaml": {"check_policy", "cli_render", "cloudinit", "cloudinit_text"},
}

# Imported by name, and always there with the dependency whose types they are.
PART_OF = {
    "oslo_context": "oslo_log",
    "pydantic_core": "pydantic",
    "requests": "keystoneauth1",
    "starlette": "fastapi",
    "urllib3": "keystoneauth1",
}

# Foreign packages of the kit: all of them, and who may know each.
KIT_ONLY_IN = {
    "anyio": {"listening", "server"},
    "keystoneauth1": {"keystone"},
    "keystonemiddleware": {"keystone"},
    "pytest": {"plugin"},
    "sqlalchemy": {"pin_store"},
    "starlette": {"answers", "listening"},
    "typing_extensions": {"bodies", "server"},
    "uvicorn": {"listening"},
}

ROW = {name: number for number, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path.stem for path in PRODUCT.glob("*.py"))
KIT_ROW = {name: number for number, names in enumerate(KIT) for name in names}
KIT_MODULES = sorted(path.stem for path in (PRODUCT / "testing").glob("*.py"))
FILES = sorted(path for folder in (PRODUCT, EXAMPLES, ROOT / "tests") for path in folder.rglob("*.py"))


@cache
def imports(path: Path) -> list[str]:
    """The dotted names that a file imports anywhere in it; `from a import b` is `a.b`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@cache
def packages() -> dict[str, list[str]]:
    """The distributions that each package is from."""
    return {name: [*distributions] for name, distributions in packages_distributions().items()}


def own_imports(module: str, package: str = "vendorsrv") -> set[str]:
    """The modules of a package that one of its modules imports; `` stands for the package itself."""
    folder = package.split(".")
    names = [name.split(".") for name in imports(ROOT.joinpath(*folder, f"{module}.py"))]
    own = [name[len(folder) :] for name in names if name[: len(folder)] == folder]
    return {name[0] if len(name) > 1 else "" for name in own}


def foreign_imports(path: Path) -> set[str]:
    """The top-level packages, of other projects, that a file imports."""
    tops = {name.partition(".")[0] for name in imports(path)}
    return tops - sys.stdlib_module_names - {"vendorsrv"}


def distribution(requirement: str) -> str:
    """The normalised name of a distribution (PEP 503) that a requirement starts with."""
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def undeclared(path: Path, extra: str) -> set[str]:
    """The packages that a file imports, and that neither our dependencies nor those of an extra bring by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"][extra]]
    declared = {distribution(requirement) for requirement in requirements}
    sources = packages()
    names = {PART_OF.get(name, name) for name in foreign_imports(path)}
    return {name for name in names if not declared & {distribution(source) for source in sources.get(name, [])}}


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


def test_every_module_of_the_kit_has_a_row() -> None:
    """As those of the product have one."""
    assert KIT_MODULES == sorted([FACE, *KIT_ROW])


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_the_kit(module: str) -> None:
    """What is served has nothing to do with what tests it."""
    assert "testing" not in own_imports(module)


@pytest.mark.parametrize("module", [name for name in KIT_MODULES if name != FACE])
def test_the_kit_s_imports_point_down(module: str) -> None:
    """Within the kit, too; the public face of neither is imported."""
    own = own_imports(module, "vendorsrv.testing")
    assert set() == {name for name in own if name == "" or KIT_ROW[name] >= KIT_ROW[module]}
    assert set() == own_imports(f"testing/{module}") & {"", FACE}


@pytest.mark.parametrize("module", KIT_MODULES)
def test_the_kit_s_foreign_packages_stay_behind_their_module(module: str) -> None:
    """Each has one place there, too."""
    foreign = foreign_imports(PRODUCT / "testing" / f"{module}.py")
    assert set() == {name for name in foreign if module not in KIT_ONLY_IN.get(name, set())}


@pytest.mark.parametrize("module", KIT_MODULES)
def test_every_import_of_the_kit_is_a_declared_dependency(module: str) -> None:
    """Of vendorsrv itself, or of its extra for tests."""
    assert set() == undeclared(PRODUCT / "testing" / f"{module}.py", "testing")


@pytest.mark.parametrize("module", MODULES)
def test_foreign_packages_stay_behind_their_module(module: str) -> None:
    """A package that has one place in the design is imported nowhere else."""
    wrong = {name for name in foreign_imports(PRODUCT / f"{module}.py") if module not in ONLY_IN.get(name, {module})}
    assert set() == wrong


@pytest.mark.parametrize("module", MODULES)
def test_every_import_is_a_declared_dependency(module: str) -> None:
    """What the product imports stands in pyproject.toml, and is not there by another package's grace."""
    assert set() == undeclared(PRODUCT / f"{module}.py", "testing" if module == "contract_pytest" else "demo")


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
