"""What an upstream's Cache-Control says about storing its answer (RFC 9111, 5.2.2)."""

from __future__ import annotations

import re
from typing import Final

DIRECTIVE: Final = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""", re.ASCII)
#: Larger numbers of seconds count as this one (RFC 9111, 1.2.2).
LONGEST: Final = 2**31


def read_cache_control(value: str) -> tuple[bool, float | None]:
    """Read the value of ``Cache-Control``; of a directive that is repeated, the first counts (RFC 9111, 4.2.1).

    :returns: whether the answer may be stored, and its ``max-age`` in seconds: None without one, and 0 when it cannot
        be read. ``no-cache`` forbids storing too: the answer would have to be revalidated, and has no validator.
    """
    directives: dict[str, str] = {}
    for match in DIRECTIVE.finditer(value):
        directives.setdefault(match[1].lower(), match[2] or match[3] or "")
    may_store = not {"no-store", "no-cache"} & directives.keys()
    if "max-age" not in directives:
        return may_store, None
    seconds = directives["max-age"]
    return may_store, float(min(int(seconds[:10]), LONGEST)) if re.fullmatch("[0-9]+", seconds) else 0.0
