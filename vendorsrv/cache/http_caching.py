"""What the headers of an answer say of using it again: RFC 9111 for a private cache, with RFC 5861's two directives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from vendorsrv.cache.lifetime import Lifetime

DIRECTIVE: Final = re.compile(r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""", re.ASCII)
SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
#: What larger numbers of seconds count as (RFC 9111, 1.2.2).
LONGEST: Final = 2**31
#: An entity tag (RFC 9110, 8.8.3) that may be sent back; a longer one is not worth its place.
ENTITY_TAG: Final = re.compile(r'(W/)?"[!#-~]{0,256}"')
#: A field whose value differs in each request; and the word for "anything".
NEVER_THE_SAME: Final = {"*", "x-openstack-request-id"}


def lifetime_of(headers: Mapping[str, str], delay: float) -> Lifetime:
    """Read the headers of an answer.

    ``s-maxage`` and ``proxy-revalidate`` are for shared caches, and this is a private one: its key holds the whole
    request. The clock of the source is not compared with ours (RFC 9111, 4.2.3, apparent_age): a second's skew would
    make every answer older than it is.

    :param headers: by lower-case name, repeated ones joined by commas.
    :param delay: seconds from sending the request to the last byte of the answer.
    """
    said = directives(headers.get("cache-control", ""))
    must_revalidate = bool({"no-cache", "must-revalidate"} & said.keys())
    varies = {name.strip().lower() for name in headers.get("vary", "").split(",")}
    return Lifetime(
        fresh_for=0.0 if "no-cache" in said else freshness(said, headers),
        age=(seconds(headers.get("age")) or 0.0) + delay,
        stale_if_error=0.0 if must_revalidate else seconds(said.get("stale-if-error")) or 0.0,
        stale_while_revalidate=0.0 if must_revalidate else seconds(said.get("stale-while-revalidate")) or 0.0,
        must_revalidate=must_revalidate,
        storable="no-store" not in said and not varies & NEVER_THE_SAME,
        validator=entity_tag(headers),
    )


def speaks(headers: Mapping[str, str]) -> bool:
    """Say whether these headers, of an answer without content, change what was said before."""
    return "cache-control" in headers or "expires" in headers


def entity_tag(headers: Mapping[str, str]) -> str:
    """Give the entity tag, or nothing when there is none that could be sent back."""
    tag = headers.get("etag", "")
    return tag if ENTITY_TAG.fullmatch(tag) else ""


def same_tag(one: str, other: str) -> bool:
    """Compare as ``If-None-Match`` does (RFC 9110, 8.8.3.2, weak comparison)."""
    return one.removeprefix("W/") == other.removeprefix("W/")


def directives(cache_control: str) -> dict[str, str]:
    """Give the directives with their values, "" for none; of those that stand twice, the first (RFC 9111, 4.2.1)."""
    found: dict[str, str] = {}
    for match in DIRECTIVE.finditer(cache_control):
        found.setdefault(match[1].lower(), match[2] or match[3] or "")
    return found


def freshness(said: Mapping[str, str], headers: Mapping[str, str]) -> float | None:
    """Give the seconds (RFC 9111, 4.2.1); what cannot be read is stale, and what is not there None."""
    if "max-age" in said:
        return seconds(said["max-age"]) or 0.0
    if "expires" in headers:
        expires = moment(headers["expires"])
        made = moment(headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (expires - made).total_seconds()) if expires else 0.0
    return None


def seconds(text: str | None) -> float | None:
    return float(min(int(text[:10]), LONGEST)) if text and SECONDS.fullmatch(text) else None


def moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
