"""What must never reach an instance's cloud-init: shapes at which its boot fails, or that it drops without a word."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from cachetools import LRUCache

from vendorsrv.cloudinit.mime import NOTHING_KNOWN, join, numbered, read, to_json
from vendorsrv.cloudinit.parts import Part
from vendorsrv.cloudinit.text import (
    BYTE_ORDER_MARK,
    check_config,
    check_script,
    check_surrogates,
    check_template,
)
from vendorsrv.errors import CloudInitError

WHAT: Final = "the answer for cloud-init"
INCLUDES: Final = ("text/x-include-url", "text/x-include-once-url")
INCLUDE: Final = re.compile(r"^#include(-once)?\s*", re.IGNORECASE)
#: Types that work in user-data, and in vendor data are written to disk and never run.
NEVER_RUN: Final = ("text/x-shellscript-per-boot", "text/x-shellscript-per-instance", "text/x-shellscript-per-once")
#: What cloud-init knows, and a vendor has no good use for.
REFUSED: Final = {
    "text/cloud-config-archive": "is a #cloud-config-archive, which can fail the init stage; use a MIME message",
    "text/cloud-config-jsonp": "is a #cloud-config-jsonp, which patches other parts; use a #cloud-config",
    "text/part-handler": "is a #part-handler, whose code runs in the init stage and can end it; use a Boothook",
}
#: Answers whose check is remembered; Nova asks for each six times.
REMEMBERED: Final = 1024


class Guard:
    """Checks what stands under the name ``cloud-init`` in vendor_data2.json, whoever made it.

    :param include_hosts: hosts whose ``#include`` an instance may follow. One that cannot be reached costs the
        instance its user-data.
    """

    def __init__(self, include_hosts: Iterable[str] = ()) -> None:
        self.include_hosts = frozenset(host.lower() for host in include_hosts)
        self.fine: LRUCache[bytes, bool] = LRUCache(REMEMBERED)

    def value(self, value: Any, handler: str) -> Any:
        """Give an answer that cannot hurt: a string, or ``{}`` for nothing.

        A list of strings or of parts becomes one MIME message; nothing in its many forms becomes ``{}``.

        :param handler: whose it is.
        :raises CloudInitError: the instance would crash at it, or ignore it; says why.
        """
        if isinstance(value, Part):
            value = [value]
        if isinstance(value, str):
            return self.text(value)
        if value in (None, {}, [], ()):
            return {}
        if isinstance(value, list | tuple) and all(isinstance(each, str | Part) for each in value):
            return self.text(join(numbered(handler, parts_of(value))))
        raise CloudInitError(f"{WHAT} is {described(value)}; it must be one string")

    def handled(self, value: Any, handler: str) -> Any:
        """Turn what a handler gives to a target of any name: parts become the string, everything else stays."""
        is_for_cloud_init = isinstance(value, Part) or (
            isinstance(value, list | tuple) and any(isinstance(each, Part) for each in value)
        )
        return self.value(value, handler) if is_for_cloud_init else value

    def contributed(self, value: Any, handler: str) -> Any:
        """Turn what a handler's ``cloud_init`` gives into what is kept of it: its parts as JSON, ``{}`` for none.

        :raises CloudInitError: it is no part, nor a list of parts, nor what :meth:`value` takes.
        """
        given = [value] if isinstance(value, Part) else value
        if isinstance(given, list | tuple) and all(isinstance(each, Part) for each in given):
            return to_json(given) or {}
        checked = self.value(value, handler)
        return to_json(read(checked)) if checked else {}

    def body(self, body: bytes, handler: str) -> bytes:
        """Check an answer that was kept; one that was fine before is fine again, without a look."""
        key = hashlib.sha256(body).digest()
        if key not in self.fine:
            value = json.loads(body)
            checked = self.value(value, handler)
            if checked != value:
                return json.dumps(checked, ensure_ascii=False).encode()
            self.fine[key] = True
        return body

    def text(self, text: str) -> str | dict[str, Any]:
        """Check one string.

        :raises CloudInitError: see :meth:`value`.
        """
        check_surrogates(text, WHAT)
        text = text.removeprefix(BYTE_ORDER_MARK)
        if not text.strip():
            return {}
        parts = read(text)
        for part in parts:
            self.part(part, WHAT if len(parts) == 1 else f"part {part.name} of {WHAT}")
        return text

    def part(self, part: Part, what: str) -> None:
        """Check one part.

        :raises CloudInitError: see :meth:`value`.
        """
        kind = part.media_type
        if kind == "text/cloud-config":
            check_config(part.text, what)
        elif kind == "text/x-shellscript":
            check_script(part.text, what)
        elif kind == "text/cloud-boothook":
            check_script(part.text.partition("#cloud-boothook")[2].lstrip() or part.text, what)
        elif kind == "text/jinja2":
            check_template(part.text, what)
        elif kind in INCLUDES:
            self.include(part.text, what)
        else:
            raise CloudInitError(f"{what} {why_not(part)}")

    def include(self, text: str, what: str) -> None:
        for url in included(text):
            if (host_of(url) or "") not in self.include_hosts:
                raise CloudInitError(
                    f"{what} includes a URL whose host is not in [cloud_init] include_hosts; "
                    "an instance that cannot reach it loses its user-data"
                )


def parts_of(given: Sequence[str | Part]) -> list[Part]:
    return [part for each in given for part in (read(each) if isinstance(each, str) else [each])]


def described(value: Any) -> str:
    names = {dict: "a mapping", list: "a list of other things than strings", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else f"of type {type(value).__name__}")


def included(text: str) -> list[str]:
    """Give the URLs of an ``#include`` part, one a line, also on the line of the word itself."""
    lines = [INCLUDE.sub("", line) for line in text.splitlines()]
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def why_not(part: Part) -> str:
    if part.media_type in NEVER_RUN:
        return f"is {part.media_type}, which is never run for a vendor; use a Boothook, or a Script"
    if part.media_type in REFUSED:
        return REFUSED[part.media_type]
    if part.media_type != NOTHING_KNOWN and not part.media_type.startswith("text/plain"):
        return f"has the type {part.media_type}, which cloud-init ignores"
    start = part.text.lstrip()
    hint = "; there is a space too much in # cloud-config" if start.startswith("# cloud-config") else ""
    return f"begins with nothing that cloud-init knows, such as #cloud-config or #!{hint}"
