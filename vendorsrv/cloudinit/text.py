"""Checks of the text of one part: scripts, templates and cloud-configs."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

import yaml
from cachetools import LRUCache
from jinja2 import Environment, TemplateSyntaxError

from vendorsrv.cloudinit.schema import find_violations
from vendorsrv.errors import CloudInitError

BYTE_ORDER_MARK: Final = "\ufeff"
#: Control characters except tabs and newlines: YAML rejects them, and editors hide them.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
INTERPRETER: Final = re.compile(r"#![ \t]*/\S")
#: cloud-init's merge_how as a string (cloudinit/mergers).
MERGER: Final = re.compile(r"(list|dict|str)\((\w+(,\w+)*)?\)(\+(list|dict|str)\((\w+(,\w+)*)?\))*")
JINJA: Final = "## template: jinja"
TEMPLATES: Final = Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701 - nothing is rendered

#: The most characters of a text that is checked on the event loop: the slowest cloud-configs take 4 ms for 1,000.
ON_LOOP: Final = 4096
#: The digests of cloud-configs that were found valid, of the last ones.
VALID: Final[LRUCache[bytes, bool]] = LRUCache(1024)
#: Those that :class:`vendorsrv.cloudinit.parts.CloudConfig` was too large to check, with the keys that are allowed.
UNCHECKED: Final[LRUCache[bytes, Collection[str]]] = LRUCache(1024)
LOCK: Final = threading.Lock()
#: Maximum number of values in one cloud-config; a large one has a few thousand.
MAX_VALUES: Final = 100_000
#: libyaml's loader gives the same result twenty times as fast.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The type of a part by its first line, longer headers first (cloudinit/handlers/__init__.py).
HEADERS: Final = {
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
    """Return the media type that cloud-init assigns to a text by its header, or None."""
    start = text.lstrip()[:32].lower()
    return next((kind for header, kind in HEADERS.items() if start.startswith(header)), None)


def clean(text: object, what: str) -> str:
    """Return a text with normalised line endings and without a byte order mark.

    :raises CloudInitError: it is not a string, or contains a lone surrogate or a control character.
    """
    if not isinstance(text, str):
        raise CloudInitError(f"{what} must be a string, not {type(text).__name__}")
    check_surrogates(text, what)
    text = text.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n").lstrip()
    found = CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise CloudInitError(f"{what} contains the control character U+{ord(found[0]):04X} in line {line}")
    return text if text.endswith("\n") else f"{text}\n"


def check_surrogates(text: str, what: str) -> None:
    """Raise CloudInitError for a lone surrogate: cloud-init's init stage would fail and lose the user-data, too."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise CloudInitError(f"{what} contains a lone surrogate, which makes cloud-init fail") from None


def check_script(text: str, what: str) -> None:
    """Raise CloudInitError for a script that the kernel could not run: its first line names no interpreter."""
    if not INTERPRETER.match(text):
        raise CloudInitError(f"{what} must begin with #! and the path of its interpreter, such as #!/bin/sh")


def check_template(text: str, what: str) -> None:
    """Raise CloudInitError for a template of neither a cloud-config nor a script."""
    body = text.partition("\n")[2].lstrip()
    if type_of(body) not in ("text/cloud-config", "text/x-shellscript"):
        raise CloudInitError(
            f"{what} must continue with #cloud-config or #! after its first line; cloud-init renders nothing else"
        )


def check_syntax(text: str, what: str) -> None:
    """Raise CloudInitError for a template with wrong syntax."""
    try:
        TEMPLATES.parse(text)
    except TemplateSyntaxError as error:
        raise CloudInitError(f"{what} has a template syntax error in line {error.lineno}") from None


def load_config(text: str, what: str) -> dict[str, Any]:
    """Return the mapping of a ``#cloud-config``, parsed as cloud-init does; recent results are cached.

    :raises CloudInitError: it is not valid YAML or not a mapping; cloud-init would ignore it with a warning.
    """
    loaded = loaded_yaml(text)
    if isinstance(loaded, yaml.YAMLError):
        place = f" (line {mark.line + 1})" if (mark := getattr(loaded, "problem_mark", None)) else ""
        raise CloudInitError(f"{what} is not valid YAML{place}; cloud-init would ignore it")
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise CloudInitError(f"{what} must be a mapping; cloud-init ignores anything else")
    if is_too_large(loaded):
        raise CloudInitError(f"{what} has more than {MAX_VALUES} values or refers to itself")
    return loaded


@lru_cache(maxsize=64)
def loaded_yaml(text: str) -> Any:
    try:
        return yaml.load(text, LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        return error
    except (ValueError, RecursionError):  # a date that does not exist, say
        return yaml.YAMLError()


def is_too_large(config: dict[str, Any]) -> bool:
    """Whether a YAML has too many values, which aliases can multiply without limit."""
    count, waiting = 0, [config]
    while waiting and count <= MAX_VALUES:
        value: Any = waiting.pop()
        count += 1
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return count > MAX_VALUES


def is_merger(rule: Any) -> bool:
    if isinstance(rule, str):
        return MERGER.fullmatch(re.sub(r"\s", "", rule.lower())) is not None
    return isinstance(rule, list) and all(
        isinstance(each, dict)
        and each.get("name") in ("list", "dict", "str")
        and isinstance(each.get("settings"), list)
        for each in rule
    )


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def check_config(text: str, what: str) -> None:
    """Raise CloudInitError for a ``#cloud-config`` that cloud-init would ignore, or whose values make its modules fail.

    A text that was found valid is not checked again. Unknown keys are accepted: a newer cloud-init or a module of the
    image may define them.
    """
    digest = digest_of(text)
    with LOCK:
        if digest in VALID:
            return
        also = UNCHECKED.get(digest)
    config = load_config(text, what)
    for key in ("merge_how", "merge_type"):
        if key in config and not is_merger(config[key]):
            raise CloudInitError(f"{what}: {key}: not a merger of cloud-init, which would ignore the part")
    try:
        for violation in find_violations(config, also or ()):
            if also is not None or not violation.is_unknown_key:
                raise CloudInitError(f"{what}: {violation}")
    except RecursionError:
        raise CloudInitError(f"{what} is nested too deeply") from None
    with LOCK:
        VALID[digest] = True
