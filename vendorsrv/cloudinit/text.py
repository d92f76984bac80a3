"""Checks of the text of one part: scripts, templates and cloud-configs."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Collection
from typing import Any, Final

from cachetools import LRUCache
from jinja2 import Environment, TemplateSyntaxError

from vendorsrv.cloudinit.loader import InvalidYAML, load
from vendorsrv.cloudinit.schema import find_fatal, find_violations
from vendorsrv.errors import CloudInitError, HandlerTimeout

LOG: Final = logging.getLogger(__name__)
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
#: Levels of lists and mappings; cloud-init's parser takes about 400.
MAX_DEPTH: Final = 300

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


class LateCheck(HandlerTimeout):
    """An answer could not be checked in time, which says nothing of its handler's or upstream's state."""


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
    """Raise CloudInitError for a template of neither a cloud-config, a script nor a boothook."""
    body = text.partition("\n")[2].lstrip()
    if type_of(body) not in ("text/cloud-config", "text/x-shellscript", "text/cloud-boothook"):
        raise CloudInitError(
            f"{what} must continue with #cloud-config, #! or #cloud-boothook after its first line; "
            "cloud-init renders nothing else"
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
    :raises LateCheck: it was not parsed in time.
    """
    try:
        loaded = load(text)
    except TimeoutError:
        raise LateCheck(f"{what} could not be checked in time") from None
    if isinstance(loaded, InvalidYAML):
        place = f" (line {loaded.line})" if loaded.line else ""
        raise CloudInitError(f"{what} is not valid YAML{place}; cloud-init would ignore it")
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise CloudInitError(f"{what} must be a mapping; cloud-init ignores anything else")
    check_size(loaded, what)
    return loaded


def check_size(config: dict[str, Any], what: str) -> None:
    """Raise CloudInitError for too many values, which aliases can multiply without limit, or too deep ones."""
    count = 0
    waiting: list[tuple[Any, int]] = [(config, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise CloudInitError(f"{what} has more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise CloudInitError(f"{what} is nested too deeply or refers to itself")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting += [(each, depth + 1) for each in inner]


def is_merger(rule: Any) -> bool:
    """Whether a rule is one or more mergers of cloud-init, dict() among them: without it the part has no effect."""
    if isinstance(rule, str):
        rule = re.sub(r"\s", "", rule.lower())
        return MERGER.fullmatch(rule) is not None and "dict(" in rule
    if not isinstance(rule, list) or not all(isinstance(each, dict) for each in rule):
        return False
    names = [each.get("name") for each in rule if isinstance(each.get("settings"), list)]
    return "dict" in names and {"dict", "list", "str"}.issuperset(names) and len(names) == len(rule)


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def check_config(text: str, what: str) -> None:
    """Raise CloudInitError for a ``#cloud-config`` that cloud-init would ignore, or whose values make its modules fail.

    A text that was found valid is not checked again. What the schema of the installed cloud-init says is only logged,
    since an instance takes it; unknown keys may be those of a newer cloud-init or of a module of the image.
    """
    digest = digest_of(text)
    with LOCK:
        if digest in VALID:
            return
        also = UNCHECKED.get(digest)
    config = load_config(text, what)
    for key in ("merge_how", "merge_type"):
        if key in config and not is_merger(config[key]):
            raise CloudInitError(
                f"{what}: {key}: not mergers of cloud-init with dict(), without which it would ignore the part"
            )
    for violation in find_fatal(config):
        raise CloudInitError(f"{what}: {violation}")
    for violation in find_violations(config, also or ()):
        if also is not None and not violation.is_disputed:
            raise CloudInitError(f"{what}: {violation}")
        if not violation.is_unknown_key:
            LOG.warning("%s: %s, by cloud-init's schema; an instance logs that and goes on", what, violation)
            break
    with LOCK:
        VALID[digest] = True
