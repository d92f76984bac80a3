"""Create a handler package from templates: a handler with an option, tests, a README and a configuration."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from importlib.metadata import distribution
from pathlib import Path
from string import Template
from typing import Final

from vendorsrv.declarations import LONGEST_NAME, RESERVED
from vendorsrv.errors import ConfigError
from vendorsrv.scaffold.job import Job, find

#: Stricter than the rule for handlers' names: a class, a module and a distribution are named after it, too.
NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: Class names that the template of the handler imports.
IMPORTED: Final = frozenset({"Handler", "VendordataRequest"})

#: The path of each template's file in the new package.
FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "sample.conf": "$name.conf",
    "handler.py": "$package/__init__.py",
    "test_handler.py": "tests/test_$module.py",
}


#: What the templates have without a job.
GREETING: Final = {
    "purpose": "The generated code returns a greeting and the\ninstance's project. Replace it with your own",
    "answer": """
## What an instance gets

In `vendor_data2.json`, on the config drive and from the metadata service:

```json
{"$name": {"greeting": "hello", "project": "0b9d1c2f4c2e4a6b8d5e7f3a1c9b2d4e"}}
```
""",
    "options": "| `greeting` | `hello` | the text of the greeting |",
    "settings": "greeting = hello",
    "dependencies": ', "oslo.config>=9.4"',
}


def write_package(name: str, directory: str | Path | None = None, like: str | None = None) -> list[Path]:
    """Create a working handler package.

    :param name: the name of the handler, which is its path in URLs and names its section of the configuration.
    :param directory: the package's directory, which must not exist; ``./<name>`` by default.
    :param like: the job whose code and tests the package gets.
    :returns: the files, sorted.
    :raises ConfigError: a name is invalid, or the directory exists or cannot be written.
    """
    texts = texts_for(values_for(name), find(like) if like else None)
    folder = Path(directory or name)
    try:
        folder.mkdir(parents=True)
        for to, text in texts.items():
            path = folder / to
            path.parent.mkdir(exist_ok=True)
            path.touch(0o600 if path.suffix == ".conf" else 0o666)  # the configuration will contain a password
            path.write_text(text, "utf-8")
    except FileExistsError:
        raise ConfigError(f"{folder} already exists; choose another --directory or remove it") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None
    return sorted(folder / to for to in texts)


def texts_for(values: dict[str, str], job: Job | None) -> dict[str, str]:
    """Return the text of each file by its path in the package."""
    folder = resources.files(__package__).joinpath("templates")
    more = job.values() if job else {name: Template(text).substitute(values) for name, text in GREETING.items()}
    of_job = {"handler.py": job.code, "test_handler.py": job.test} if job else {}
    texts = {"$package/py.typed": ""}  # PEP 561
    for template, to in FILES.items():
        if job and template in of_job:
            texts[to] = job.renamed(of_job[template], values)
        else:
            text = folder.joinpath(f"{template}.txt").read_text("utf-8")
            texts[to] = Template(text).substitute({**values, **more})
    return {Template(to).substitute(values): text for to, text in texts.items()}


def values_for(name: str) -> dict[str, str]:
    """Return the value of each placeholder in the templates.

    :raises ConfigError: the name is invalid; the message suggests a valid one.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        close = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:LONGEST_NAME].rstrip("-")
        raise ConfigError(
            f"{name!r} is not a valid name: use lower-case letters and digits with single hyphens between them, "
            f"a letter first, and at most {LONGEST_NAME} characters" + (f"; try {close}" if close else "")
        )
    handler = "".join(part.capitalize() for part in name.split("-"))
    if name in RESERVED or handler in IMPORTED:
        raise ConfigError(f"{name} is not a valid name: vendorsrv uses it itself")
    module = name.replace("-", "_")
    return {
        "name": name,
        "module": module,
        "package": f"vendordata_{module}",
        "distribution": f"vendordata-{name}",
        "handler": handler,
        "install": install_command(),
    }


def install_command() -> str:
    """Return the command that installs a new package, and vendorsrv from where this one came (PEP 610)."""
    record = json.loads(distribution("vendorsrv").read_text("direct_url.json") or "{}")
    url = record.get("url", "")
    if version_control := record.get("vcs_info"):
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    source = f"{shlex.quote(f'vendorsrv[testing] @ {url}')} " if url else ""
    return f"pip install {source}-e '.[test]'"
