"""The jobs of ``examples/jobs``: whole handlers with their tests, with which a new package can begin."""

from __future__ import annotations

import ast
import base64
import io
import os
import re
import runpy
import tokenize
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Final, NamedTuple

from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler, defines_deleted, defines_prepare
from vendorsrv.suggest import did_you_mean

#: The account that looks up facts.
SERVICE_ACCOUNT: Final = """
# The account that looks up facts. It needs the role "reader" in all projects, inherited from their domains.
[service_account]
auth_type = password
auth_url = https://keystone.example.org:5000/v3
username = vendorsrv-facts
password = CHANGE-ME
user_domain_name = Default
"""

#: Where Nova says that instances are gone.
LIFECYCLE: Final = """
# The RabbitMQ from which "vendorsrv listen" learns that instances are gone.
[lifecycle]
transport_url = rabbit://vendorsrv:CHANGE-ME@rabbit.example.org:5672/
"""


class Job(NamedTuple):
    """A job.

    :ivar module: where the test imports the handler from.
    :ivar handler: the class, for what it declares.
    """

    name: str
    module: str
    code: str
    test: str
    handler: type[Handler]

    def renamed(self, text: str, values: dict[str, str]) -> str:
        """Return the code or the test with the names of another handler.

        :raises ConfigError: the code has that class's name for something else.
        """
        own = self.handler.__name__
        taken = {token.string for token in tokenize.generate_tokens(io.StringIO(text).readline)} - {own}
        if values["handler"] in taken:
            raise ConfigError(f"{values['name']} is not a valid name: {self.name} uses it itself")
        text = text.replace(self.module, values["package"]).replace(f'"{self.name}"', f'"{values["name"]}"')
        return re.sub(rf"\b{own}\b", values["handler"], text)

    def values(self) -> dict[str, str]:
        """Return what the job has in the package's README, configuration and pyproject.toml."""
        options = [*self.handler.options]
        return {
            "purpose": f"{self.handler.__doc__}\nIt begins as the example {self.name} of vendorsrv. Make it your own",
            "answer": "",
            "options": "\n".join(f"| `{each.dest}` | {default_of(each)} | {each.help} |" for each in options),
            "settings": ("\n".join(setting(each) for each in options) + "".join(self.sections())).rstrip(),
            "dependencies": "".join(f', "{each}"' for each in requirements(self.code)),
        }

    def sections(self) -> Iterator[str]:
        """Yield the further sections of the configuration that the handler needs."""
        if self.handler.needs or self.handler.verify:
            yield f"\n{SERVICE_ACCOUNT}"
        if defines_deleted(self.handler):
            yield f"\n{LIFECYCLE}"
        if self.handler.pin or self.handler.pin_for or defines_prepare(self.handler):
            key = base64.urlsafe_b64encode(os.urandom(32)).decode()  # a Fernet key
            yield "\n\n# With this key, which is new, pinned answers are encrypted. All hosts need the same.\n"
            yield f"[pins]\nencryption_keys = {key}\n"


def folder() -> Path:
    """Return the folder of the jobs: beside this module in a wheel, ``examples/jobs`` in a checkout."""
    here = Path(__file__).parent / "jobs"
    return here if here.is_dir() else Path(__file__).parents[2] / "examples" / "jobs"


def names() -> list[str]:
    """Return the names of the jobs, sorted."""
    stems = [path.stem for path in folder().glob("*.py")]
    return sorted(stem.replace("_", "-") for stem in stems if not stem.startswith("test_"))


def find(name: str) -> Job:
    """Return a job.

    :raises ConfigError: there is none of this name; the message suggests one and lists all.
    """
    if name not in names():
        raise ConfigError(f"there is no job {name}: there are {', '.join(names())}{did_you_mean(name, names())}")
    module = name.replace("-", "_")
    path = folder() / f"{module}.py"
    defined = [each for each in runpy.run_path(str(path)).values() if isinstance(each, type)]
    (handler,) = (each for each in defined if issubclass(each, Handler) and each is not Handler)
    test = path.with_name(f"test_{path.name}").read_text("utf-8")
    return Job(name, f"examples.jobs.{module}", path.read_text("utf-8"), test, handler)


def requirements(code: str) -> list[str]:
    """Return those of vendorsrv's requirements that the code imports itself."""
    found = [node.module or "" for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    found += [alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names]
    known = packages_distributions()
    used = {normalized(each) for module in found for each in known.get(module.partition(".")[0], [])}
    return [each for each in requires("vendorsrv") or [] if normalized(each) in used and "extra ==" not in each]


def normalized(requirement: str) -> str:
    """Return the name that a requirement begins with, as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def default_of(option: cfg.Opt) -> str:
    value = shown(option.default)
    return f"`{value}`" if value else "none, required" if option.required else "none"


def setting(option: cfg.Opt) -> str:
    """Return an option's line; one that has a good default is commented out."""
    if option.required:
        return f"{option.dest} = {shown(option.sample_default)}"
    return f"# {option.dest} = {shown(option.default)}".rstrip()


def shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
