"""What text of one part must be like, and what becomes of it in an instance when it is not."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import yaml
from jinja2 import Environment, TemplateSyntaxError

from vendorsrv.cloudinit.schema import find_problems
from vendorsrv.errors import CloudInitError

BYTE_ORDER_MARK: Final = "\ufeff"
#: A script may have tabs and ends of lines; everything else of these YAML refuses, and editors hide.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
INTERPRETER: Final = re.compile(r"#![ \t]*/\S")
#: What cloud-init's merge_how may be, as text (cloudinit/mergers).
MERGER: Final = re.compile(r"(list|dict|str)\((\w+(,\w+)*)?\)(\+(list|dict|str)\((\w+(,\w+)*)?\))*")
JINJA: Final = "## template: jinja"
TEMPLATES: Final = Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701 - nothing is rendered

#: Values in one cloud-config; a large one has some thousand.
MANY: Final = 100_000
#: libyaml's is twenty times as fast, and reads the same.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What the first line of a part says that it is, the longer ones first (cloudinit/handlers/__init__.py).
BEGINNINGS: Final = {
    JINJA: "text/jinja2",
    "#cloud-config-archive": "text/cloud-config-archive",
    "#cloud-config-jsonp": "text/cloud-config-jsonp",
    "#cloud-boothook": "text/cloud-boothook",
    "#cloud-config": "text/cloud-config",
    "#part-handler": "text/part-handler",
    "#include-once": "text/x-include-once-url",
    "#include": "text/x-include-url",
    "#!": "text/x-shellscript",
}


def type_of(text: str) -> str | None:
    """Give the media type that cloud-init takes a text for, or None when it takes it for nothing."""
    start = text.lstrip()[:32].lower()
    return next((kind for beginning, kind in BEGINNINGS.items() if start.startswith(beginning)), None)


def clean(text: object, what: str) -> str:
    """Give a text with plain ends of lines and without a byte order mark, which are certain to be meant so.

    :raises CloudInitError: it is no text, or has a lone surrogate or a control character.
    """
    if not isinstance(text, str):
        raise CloudInitError(f"{what} must be a string, not {type(text).__name__}")
    check_surrogates(text, what)
    text = text.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n").lstrip()
    found = CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise CloudInitError(f"{what} has the control character U+{ord(found[0]):04X} in line {line}")
    return text if text.endswith("\n") else f"{text}\n"


def check_surrogates(text: str, what: str) -> None:
    """Refuse what is no Unicode text.

    :raises CloudInitError: cloud-init's whole init stage would fail, and the user's user-data with it.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise CloudInitError(f"{what} has a lone surrogate, at which cloud-init fails") from None


def check_script(text: str, what: str) -> None:
    """Refuse a script that the kernel could not start.

    :raises CloudInitError: the first line names no interpreter.
    """
    if not INTERPRETER.match(text):
        raise CloudInitError(f"{what} must begin with #! and the path of its interpreter, such as #!/bin/sh")


def check_template(text: str, what: str) -> None:
    """Refuse a template that cannot be rendered.

    :raises CloudInitError: its syntax is wrong (cloud-init drops the part), or what it renders to is nothing.
    """
    body = text.partition("\n")[2].lstrip()
    if type_of(body) not in ("text/cloud-config", "text/x-shellscript"):
        raise CloudInitError(
            f"{what} must go on with #cloud-config or #! after its first line; nothing else is rendered"
        )
    try:
        TEMPLATES.parse(text)
    except TemplateSyntaxError as error:
        raise CloudInitError(f"{what} has a template syntax error in line {error.lineno}") from None


def load_config(text: str, what: str) -> dict[str, Any]:
    """Read the YAML of a ``#cloud-config`` as cloud-init does; a text that was read before costs nothing.

    :raises CloudInitError: it is no mapping, or no YAML; cloud-init drops such a part with a warning.
    """
    loaded = loaded_yaml(text)
    if isinstance(loaded, yaml.YAMLError):
        mark = getattr(loaded, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise CloudInitError(f"{what} is no YAML{place}; cloud-init ignores it")
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise CloudInitError(f"{what} must be a mapping of keys; cloud-init ignores anything else")
    if is_endless(loaded):
        raise CloudInitError(f"{what} is more than {MANY} values, or refers to itself")
    return loaded


@lru_cache(maxsize=64)
def loaded_yaml(text: str) -> Any:
    try:
        return yaml.load(text, LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        return error
    except (ValueError, RecursionError):  # a date that does not exist, say
        return yaml.YAMLError()


def is_endless(config: dict[str, Any]) -> bool:
    """Say whether aliases make a YAML of some lines a value without end."""
    count, waiting = 0, [config]
    while waiting and count <= MANY:
        value: Any = waiting.pop()
        count += 1
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return count > MANY


def is_merger(rule: Any) -> bool:
    if isinstance(rule, str):
        return MERGER.fullmatch(re.sub(r"\s", "", rule.lower())) is not None
    return isinstance(rule, list) and all(
        isinstance(each, dict)
        and each.get("name") in ("list", "dict", "str")
        and isinstance(each.get("settings"), list)
        for each in rule
    )


def check_config(text: str, what: str) -> None:
    """Refuse a ``#cloud-config`` that cloud-init would drop, or at whose values its modules fail.

    A key that is not known may be one of a newer cloud-init, or of a module of the image's: it stays.

    :raises CloudInitError: naming the key.
    """
    config = load_config(text, what)
    for key in ("merge_how", "merge_type"):
        if key in config and not is_merger(config[key]):
            raise CloudInitError(f"{what}: {key}: cloud-init has no such merger, and ignores the part")
    for problem in find_problems(config):
        if not problem.unknown:
            raise CloudInitError(f"{what}: {problem}")
