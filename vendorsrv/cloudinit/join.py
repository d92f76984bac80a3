"""The target ``/cloud-init``: what the handlers contribute for one instance, joined into one string."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.mime import from_json, join, numbered
from vendorsrv.cloudinit.parts import Part
from vendorsrv.cloudinit.text import load_config

T_co = TypeVar("T_co", covariant=True)

LOG = logging.getLogger(__name__)


class Target(Generic[T_co]):
    """Joins parts; one for each worker.

    :param guard: sees every answer before it leaves.
    :param contributors: what gives the JSON of a handler's parts, by the handler's name.
    """

    def __init__(self, guard: Guard, contributors: Mapping[str, T_co]) -> None:
        self.guard = guard
        self.contributors = contributors

    def join(self, kept: Mapping[str, bytes]) -> bytes:
        """Give the JSON string of all parts, in the order of the handlers; ``{}`` when there are none.

        Two handlers that set the same key to different values are logged; the first one's holds.

        :param kept: the JSON of each handler's parts, by its name.
        :raises CloudInitError: what was kept must not reach an instance any more.
        """
        parts = {name: from_json(json.loads(body)) for name, body in kept.items() if body != b"{}"}
        if not parts:
            return b"{}"
        for key, first, second in conflicts(parts):
            LOG.warning("handlers %s and %s set %s for cloud-init; the first one's holds", first, second, key)
        body = json.dumps(join(named(parts)), ensure_ascii=False).encode()
        return self.guard.body(body, "cloud-init")


def named(parts: Mapping[str, Sequence[Part]]) -> list[Part]:
    """Give all parts in their order, each with a file name that no other has."""
    joined: list[Part] = []
    for name, own in parts.items():
        joined += numbered(name, own, first=len(joined) + 1)
    return joined


def conflicts(parts: Mapping[str, Sequence[Part]]) -> Iterator[tuple[str, str, str]]:
    """Name the keys that two handlers set to different single values, with both handlers."""
    if len(parts) < 2:
        return
    owners: dict[str, tuple[str, Any]] = {}
    for name, own in parts.items():
        for part in own:
            if part.media_type == "text/cloud-config":
                for key, value in single_values(load_config(part.text, name)):
                    first, held = owners.setdefault(key, (name, value))
                    if first != name and held != value:
                        yield key, first, name


def single_values(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from single_values(value, f"{above}{key}.")
        elif not isinstance(value, list) and key != "merge_how":
            yield f"{above}{key}", value
