"""A new handler package, written from templates: a handler with an option, its test, a README and a configuration."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from vendorsrv.errors import ConfigError
from vendorsrv.handler import LONGEST_NAME, RESERVED

#: Narrower than what a handler may be called: what is made of it names a class, a module and a distribution as well.
NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: What the templates import.
TAKEN: Final = frozenset({"Handler", "VendordataRequest"})

#: Where each template goes.
FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "sample.conf": "$name.conf",
    "handler.py": "$package/__init__.py",
    "test_handler.py": "tests/test_$module.py",
}
#: A file without text, which tells type checkers that the package is typed (PEP 561).
TYPED: Final = "$package/py.typed"
#: A configuration will hold a password; the umask makes the others what the user is used to.
PRIVATE: Final = 0o600
PUBLIC: Final = 0o666


def write_package(name: str, directory: str | Path | None = None) -> list[Path]:
    """Write a handler package that works as it is.

    :param name: the handler's; becomes the URL's segment, and the configuration's section.
    :param directory: where to, which must not exist; ``./<name>`` by default.
    :returns: the files, sorted.
    :raises ConfigError: there can be no such handler, or the directory exists or cannot be written.
    """
    values = values_for(name)
    folder = Path(directory or name)
    templates = resources.files(__package__).joinpath("templates")
    files = {to: templates.joinpath(f"{template}.txt").read_text("utf-8") for template, to in FILES.items()}
    written = []
    try:
        folder.mkdir(parents=True)
        for to, text in {**files, TYPED: ""}.items():
            path = folder / Template(to).substitute(values)
            path.parent.mkdir(exist_ok=True)
            path.touch(PRIVATE if path.suffix == ".conf" else PUBLIC)
            path.write_text(Template(text).substitute(values), "utf-8")
            written.append(path)
    except FileExistsError:
        raise ConfigError(f"{folder} exists already; choose another --directory, or remove it") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None
    return sorted(written)


def values_for(name: str) -> dict[str, str]:
    """Give what stands for each placeholder in the templates.

    :raises ConfigError: there can be no such handler; says how it may be called.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        close = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:LONGEST_NAME].rstrip("-")
        raise ConfigError(
            f"{name!r} cannot be a handler's name: it has lower-case letters and digits, and single hyphens between, "
            f"begins with a letter, and has at most {LONGEST_NAME} characters" + (f"; try {close}" if close else "")
        )
    handler = "".join(part.capitalize() for part in name.split("-"))
    if name in RESERVED or handler in TAKEN:
        raise ConfigError(f"{name} cannot be a handler's name: it is one of vendorsrv's own")
    module = name.replace("-", "_")
    return {
        "name": name,
        "module": module,
        "package": f"vendordata_{module}",
        "distribution": f"vendordata-{name}",
        "handler": handler,
    }
