"""The answer of ``/cloud-init``: the parts of all handlers for one instance, joined into one string."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.mime import from_json, join, numbered
from vendorsrv.cloudinit.parts import Part
from vendorsrv.cloudinit.text import load_config

LOG = logging.getLogger(__name__)


def join_contributions(contributions: Mapping[str, bytes], guard: Guard) -> bytes:
    """Return the JSON string of all parts in the order of the handlers, or ``{}`` when there are none.

    A warning is logged for a key that two handlers set to different values; the first value wins.

    :param contributions: the JSON of each handler's parts, by its name.
    :raises CloudInitError: stored parts are not safe for cloud-init.
    """
    parts = {name: from_json(json.loads(body)) for name, body in contributions.items() if body != b"{}"}
    if not parts:
        return b"{}"
    for key, first, second in conflicts(parts):
        LOG.warning("handlers %s and %s set %s for cloud-init; the value of %s is used", first, second, key, first)
    joined: list[Part] = []
    for name, own in parts.items():
        joined += numbered(name, own, first=len(joined) + 1)
    return guard.check_stored(json.dumps(join(joined), ensure_ascii=False).encode(), "cloud-init")


def conflicts(parts: Mapping[str, Sequence[Part]]) -> Iterator[tuple[str, str, str]]:
    """Return the keys that two handlers set to different single values, with both handlers."""
    if len(parts) < 2:
        return
    owners: dict[str, tuple[str, Any]] = {}
    for name, own in parts.items():
        for part in own:
            if part.media_type == "text/cloud-config":
                for key, value in single_values(load_config(part.text, name)):
                    first, used = owners.setdefault(key, (name, value))
                    if first != name and used != value:
                        yield key, first, name


def single_values(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from single_values(value, f"{above}{key}.")
        elif not isinstance(value, list) and key != "merge_how":
            yield f"{above}{key}", value
