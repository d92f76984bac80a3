"""What an upstream's Cache-Control says about storing its answer (RFC 9111, 5.2.2)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

DIRECTIVE: Final = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""", re.ASCII)
SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
#: Larger numbers of seconds count as this one (RFC 9111, 1.2.2).
LONGEST: Final = 2**31


class CacheControl(NamedTuple):
    """The directives that a proxy obeys.

    :ivar may_store: False after ``no-store``, and after ``no-cache``: an answer that must be revalidated before each
        use cannot be used again without a validator.
    :ivar max_age: seconds; None without ``max-age``, and 0 when its value cannot be read.
    """

    may_store: bool = True
    max_age: float | None = None


def read_cache_control(value: str) -> CacheControl:
    """Read the value of ``Cache-Control``; of a directive that is repeated, the first counts (RFC 9111, 4.2.1)."""
    directives: dict[str, str] = {}
    for match in DIRECTIVE.finditer(value):
        directives.setdefault(match[1].lower(), match[2] or match[3] or "")
    return CacheControl(
        may_store=not {"no-store", "no-cache"} & directives.keys(),
        max_age=seconds(directives["max-age"]) if "max-age" in directives else None,
    )


def seconds(text: str) -> float:
    return float(min(int(text[:10]), LONGEST)) if SECONDS.fullmatch(text) else 0.0
