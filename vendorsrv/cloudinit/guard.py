"""Keep answers away from cloud-init that would make it fail, or that it would silently ignore."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from cachetools import LRUCache

from vendorsrv.cloudinit.loader import UNTIL
from vendorsrv.cloudinit.mime import UNKNOWN, join, numbered, read, to_json
from vendorsrv.cloudinit.parts import Part
from vendorsrv.cloudinit.text import (
    BYTE_ORDER_MARK,
    ON_LOOP,
    LateCheck,
    check_config,
    check_script,
    check_surrogates,
    check_syntax,
    check_template,
)
from vendorsrv.errors import CloudInitError

T = TypeVar("T")
WHAT: Final = "the answer for cloud-init"
INCLUDES: Final = ("text/x-include-url", "text/x-include-once-url")
INCLUDE: Final = re.compile(r"^#include(-once)?\s*", re.IGNORECASE)
#: Types that cloud-init handles, but that can make its init stage fail, or that it runs only from user-data.
REJECTED: Final = {
    "text/cloud-config-archive": "is a #cloud-config-archive, which can make the init stage fail; use a MIME message",
    "text/cloud-config-jsonp": "is a #cloud-config-jsonp, which patches other parts; use a #cloud-config",
    "text/part-handler": "is a #part-handler, whose code can make the init stage fail; use a Boothook",
    **{
        kind: f"is {kind}, which cloud-init never runs from vendor data; use a Boothook or a Script"
        for kind in ("text/x-shellscript-per-boot", "text/x-shellscript-per-instance", "text/x-shellscript-per-once")
    },
}

#: What can make a short text a large one: YAML's anchors, whose aliases repeat them, also in a JSON string, and MIME
#: messages, whose parts may be compressed or hide an anchor by their encoding.
GROWING: Final = re.compile(r"(?:^|[\s\[{,:]|\\[nrt])&[^\s&]|mime-version:", re.IGNORECASE)


class Guard:
    """Check the value of ``cloud-init`` in vendor_data2.json, whether our handlers or an upstream made it.

    :param include_hosts: the hosts of allowed ``#include`` URLs. An instance that cannot reach an included URL loses
        its user-data.
    """

    def __init__(self, include_hosts: Iterable[str] = ()) -> None:
        self.include_hosts = frozenset(host.lower() for host in include_hosts)
        self.checked: LRUCache[bytes, bool] = LRUCache(1024)  # answers that Nova requests six times
        self.lock = Lock()
        self.executor = ThreadPoolExecutor(1, "guard")

    async def check(self, size: int, deadline: float, check: Callable[..., T], *arguments: Any) -> T:
        """Make a check, off the event loop if it takes long.

        :param size: of the texts that it checks, as :func:`size_of` estimates it.
        :param deadline: on the monotonic clock.
        :returns: what it returns.
        :raises LateCheck: it did not end in time.
        """
        if size <= ON_LOOP:
            return check(*arguments)
        try:
            context = copy_context()
            context.run(UNTIL.set, deadline)
            async with asyncio.timeout(deadline - time.monotonic()):
                return await asyncio.get_running_loop().run_in_executor(self.executor, context.run, check, *arguments)
        except TimeoutError:
            raise LateCheck(f"{WHAT} could not be checked in time") from None

    def check_answer(self, value: Any, handler: str) -> Any:
        """Return an answer in the form that cloud-init takes: a string, or ``{}`` for nothing.

        A list of strings or parts becomes one MIME message; every form of nothing becomes ``{}``.

        :param handler: the name of the handler, for file names.
        :raises CloudInitError: cloud-init would fail, or ignore the answer; the message has the reason.
        """
        if isinstance(value, Part):
            value = [value]
        if isinstance(value, str):
            return self.check_text(value)
        if value in (None, {}, [], ()):
            return {}
        if isinstance(value, list | tuple) and all(isinstance(each, str | Part) for each in value):
            for each in value:
                check_surrogates(each if isinstance(each, str) else each.text, WHAT)
            parts = [part for each in value for part in (read(each) if isinstance(each, str) else [each])]
            return self.check_text(join(numbered(handler, parts)))
        raise CloudInitError(f"{WHAT} must be a string, not {described(value)}")

    def check_parts(self, value: Any, handler: str) -> Any:
        """Return the string for parts, and any other value unchanged: it may be for another target."""
        given = value if isinstance(value, list | tuple) else [value]
        return self.check_answer(value, handler) if any(isinstance(each, Part) for each in given) else value

    def check_contribution(self, value: Any, handler: str) -> Any:
        """Return the parts that a handler's ``cloud_init`` returned as JSON values, or ``{}`` for none.

        :raises CloudInitError: it is neither a part, a list of parts, nor what :meth:`check_answer` accepts.
        """
        given = [value] if isinstance(value, Part) else value
        if isinstance(given, list | tuple) and all(isinstance(each, Part) for each in given):
            for each in given:
                self.check_part(each, f"part {each.name} of {WHAT}")
            return to_json(given) or {}
        checked = self.check_answer(value, handler)
        return to_json(read(checked)) if checked else {}

    def check_stored(self, body: bytes, handler: str) -> bytes:
        """Return a stored answer, checked unless the same bytes were checked before."""
        if self.knows(body):
            return body
        value = json.loads(body)
        checked = self.check_answer(value, handler)
        if checked != value:
            return json.dumps(checked, ensure_ascii=False).encode()
        self.remember(body)
        return body

    def knows(self, body: bytes) -> bool:
        """Whether these bytes were checked before."""
        with self.lock:
            return hashlib.sha256(body).digest() in self.checked

    def remember(self, body: bytes) -> None:
        """Do not check these bytes again."""
        with self.lock:
            self.checked[hashlib.sha256(body).digest()] = True

    def check_text(self, text: str) -> str | dict[str, Any]:
        check_surrogates(text, WHAT)
        text = text.removeprefix(BYTE_ORDER_MARK)
        if not text.strip():
            return {}
        parts = read(text)
        for part in parts:
            self.check_part(part, WHAT if len(parts) == 1 else f"part {part.name} of {WHAT}")
        return text

    def check_part(self, part: Part, what: str) -> None:
        kind = part.media_type
        if kind == "text/cloud-config":
            check_config(part.text, what)
        elif kind == "text/x-shellscript":
            check_script(part.text, what)
        elif kind == "text/cloud-boothook":
            check_script(part.text.partition("#cloud-boothook")[2].lstrip() or part.text, what)
        elif kind == "text/jinja2":
            check_template(part.text, what)
            check_syntax(part.text, what)
        elif kind in INCLUDES:
            if not {host_of(url) or "" for url in included_urls(part.text)} <= self.include_hosts:
                raise CloudInitError(
                    f"{what} includes a URL whose host is not in [cloud_init] include_hosts; "
                    "an instance that cannot reach it loses its user-data"
                )
        else:
            raise CloudInitError(f"{what} {explain_refusal(part)}")


def size_of(value: Any) -> int:
    """Return how many characters of a handler's return value may have to be checked; more for one that may grow."""
    if isinstance(value, list | tuple):
        return sum(size_of(each) for each in value if isinstance(each, str | Part))
    if not isinstance(value, str | Part):
        return 0
    text = value.text if isinstance(value, Part) else value
    return len(text) + (ON_LOOP if len(text) <= ON_LOOP and GROWING.search(text) else 0)


def described(value: Any) -> str:
    names = {dict: "a mapping", list: "a list of other values than strings", bool: "a boolean"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def included_urls(text: str) -> list[str]:
    """Return the URLs of an ``#include`` part: one a line, including the line of the header."""
    lines = [INCLUDE.sub("", line) for line in text.splitlines()]
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def explain_refusal(part: Part) -> str:
    if part.media_type in REJECTED:
        return REJECTED[part.media_type]
    if part.media_type != UNKNOWN and not part.media_type.startswith("text/plain"):
        return f"has the type {part.media_type}, which cloud-init ignores"
    start = part.text.lstrip()
    hint = "; remove the space in # cloud-config" if start.startswith("# cloud-config") else ""
    return f"does not begin with a header of cloud-init such as #cloud-config or #!{hint}"
