"""What instances would do with the handlers' parts: the parts, the cloud-config merged, and what the user's erases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vendorsrv.cloudinit.mime import read
from vendorsrv.cloudinit.parts import MERGE, Part
from vendorsrv.cloudinit.schema import find_problems
from vendorsrv.cloudinit.text import load_config
from vendorsrv.errors import CloudInitError, ConfigError

CLOUD_CONFIG: Final = "text/cloud-config"

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one instance gets, and what becomes of it there. All of it may be secret.

    :ivar answer: what stands under ``cloud-init`` in vendor_data2.json; None for nothing.
    :ivar parts: of the answer.
    :ivar config: the cloud-config that the instance ends up with, of vendor data and user-data.
    :ivar erased: keys of the vendor's whose value the user's user-data replaces.
    :ivar findings: what cloud-init's schema says, and what else should be known; keys and no values.
    """

    answer: str | None
    parts: Sequence[Part] = ()
    config: Config = field(default_factory=dict)
    erased: Sequence[str] = ()
    findings: Sequence[str] = ()


def render(answer: str | None, user_data: bytes = b"", static: str = "") -> Rendered:
    """Work out what an instance makes of an answer.

    :param user_data: as the instance sees it.
    :param static: what stands under ``cloud-init`` in vendor_data.json, Nova's static vendor data.
    """
    parts = read(answer) if answer else []
    findings: list[str] = []
    vendor = merged(parts, findings)
    user = config_of(user_data, "the user-data", findings)
    older = config_of(static.encode(), "the static vendor data", findings)
    findings += [str(problem) for problem in find_problems(vendor)]
    findings += opted_out(user)
    config = over(user, over(vendor, older))
    return Rendered(answer, parts, config, list(replaced(user, vendor)), findings)


def merged(parts: Sequence[Part], findings: list[str]) -> Config:
    """Merge the cloud-configs among some parts as cloud-init does, by each one's own rule.

    :param findings: gets what cannot be said without a real cloud-init.
    """
    config: Config = {}
    for part in parts:
        if part.media_type == "text/jinja2":
            findings.append(f"{part.name}: only the instance can render it")
        if part.media_type != CLOUD_CONFIG:
            continue
        own = dict(load_config(part.text, part.name))
        rule = own.pop("merge_how", own.pop("merge_type", None))
        if rule not in (None, MERGE):
            findings.append(f"{part.name}: has its own merge_how, which only --check follows")
        config = {**config, **own} if rule is None else into(config, own)
    return config


def into(old: Any, new: Any) -> Any:
    """Merge by ``list(append)+dict(no_replace,recurse_list)+str()`` (cloudinit/mergers)."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: into(old[key], new[key]) for key in old.keys() & new.keys()}
        return {**new, **old, **both}
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    return old


def over(high: Any, low: Any) -> Any:
    """Merge two sources as cloud-init does: mappings take each other in, and else the higher one holds.

    But a mapping below takes the place of a list or a string above (cloudinit/mergers, which it is not made for).
    """
    if isinstance(high, dict) and isinstance(low, dict):
        return {**low, **high, **{key: over(high[key], low[key]) for key in high.keys() & low.keys()}}
    return low if isinstance(low, dict) and isinstance(high, list | str) else high


def replaced(user: Mapping[str, Any], vendor: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Name what the vendor says and the user says otherwise, as ``ntp.servers``."""
    for key in vendor:
        if key not in user or user[key] == vendor[key]:
            continue
        if isinstance(user[key], dict) and isinstance(vendor[key], dict):
            yield from replaced(user[key], vendor[key], f"{above}{key}.")
        else:
            yield f"{above}{key}"


def config_of(data: bytes, what: str, findings: list[str]) -> Config:
    """Give the cloud-config in some data of somebody else's; what cannot be read is a finding."""
    try:
        parts = [part for part in read(data.decode("utf-8")) if part.text.strip()]
        return merged(parts, [])
    except (UnicodeDecodeError, CloudInitError):
        findings.append(f"{what} cannot be read here (compressed, or no cloud-config); --check shows more")
        return {}


def opted_out(user: Mapping[str, Any]) -> Iterator[str]:
    choice = user.get("vendor_data2")
    if isinstance(choice, dict) and choice.get("enabled") in (False, "false"):
        yield "the user-data turns dynamic vendor data off: nothing of this reaches the instance"
    elif isinstance(choice, dict) and choice.get("disabled_handlers"):
        yield "the user-data turns some types of vendor data off (vendor_data2.disabled_handlers)"


def static_text(document: bytes) -> str:
    """Give what stands under ``cloud-init`` in a vendor_data.json.

    :raises ConfigError: it is no JSON object, or what stands there is no string.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        raise ConfigError("the static vendor data is not JSON") from None
    text = value.get("cloud-init", "") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise ConfigError("the static vendor data must be an object, with a string under cloud-init")
    return text
