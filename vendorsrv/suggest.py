"""The end of a message about an unknown name: what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for the known name that is most like this one, or an empty string."""
    close = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def did_you_mean_or_list(name: str, known: Iterable[str]) -> str:
    """Return :func:`did_you_mean`; when no known name is like this one, list them all."""
    choices = sorted(known)
    return did_you_mean(name, choices) or (f"; available: {', '.join(choices)}" if choices else "")
