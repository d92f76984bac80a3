"""Predict an instance's cloud-config: the merged parts, and which keys the user-data overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vendorsrv.cloudinit.mime import read
from vendorsrv.cloudinit.parts import MERGE, Part
from vendorsrv.cloudinit.schema import find_violations
from vendorsrv.cloudinit.text import load_config
from vendorsrv.errors import CloudInitError, ConfigError


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one instance gets and makes of it. All of it may be secret.

    :ivar answer: the value of ``cloud-init`` in vendor_data2.json; None for nothing.
    :ivar parts: the parts of the answer.
    :ivar config: the instance's cloud-config, merged from vendor data and user-data.
    :ivar overridden: the vendor data's keys whose values the user-data overrides.
    :ivar findings: schema violations and other remarks, with keys and no values.
    """

    answer: str | None
    parts: Sequence[Part]
    config: dict[str, Any]
    overridden: Sequence[str]
    findings: Sequence[str]


def render(answer: str | None, user_data: bytes = b"", static: str = "") -> Rendered:
    """Return what an instance makes of an answer.

    :param user_data: as the instance sees it.
    :param static: the value of ``cloud-init`` in vendor_data.json, Nova's static vendor data.
    """
    parts = read(answer) if answer else []
    findings: list[str] = []
    vendor = merged(parts, findings)
    user = config_of(user_data, "the user-data", findings)
    older = config_of(static.encode(), "the static vendor data", findings)
    findings += [str(violation) for violation in find_violations(vendor)]
    findings += opted_out(user)
    config = override(user, override(vendor, older))
    return Rendered(answer, parts, config, list(overridden(user, vendor)), findings)


def merged(parts: Sequence[Part], findings: list[str]) -> dict[str, Any]:
    """Return the parts' cloud-configs merged as cloud-init does.

    :param findings: gets remarks about parts that only cloud-init can merge or render.
    """
    config: dict[str, Any] = {}
    for part in parts:
        if part.media_type == "text/jinja2":
            findings.append(f"{part.name}: only the instance can render this template")
        elif part.media_type == "text/cloud-config":
            own = dict(load_config(part.text, part.name))
            rule = own.pop("merge_how", own.pop("merge_type", None))
            if rule not in (None, MERGE):
                findings.append(f"{part.name}: has its own merge_how, which only --check applies")
            config = {**config, **own} if rule is None else append(config, own)
    return config


def append(old: Any, new: Any) -> Any:
    """Return two values merged by ``list(append)+dict(no_replace,recurse_list)+str()`` (cloudinit/mergers)."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: append(old[key], new[key]) for key in old.keys() & new.keys()}
        return {**new, **old, **both}
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    return old


def override(high: Any, low: Any) -> Any:
    """Return two sources merged as cloud-init does: mappings are merged, else the source with priority wins.

    There is one exception: a mapping replaces a list or a string of a source with priority (cloudinit/mergers).
    """
    if isinstance(high, dict) and isinstance(low, dict):
        return {**low, **high, **{key: override(high[key], low[key]) for key in high.keys() & low.keys()}}
    return low if isinstance(low, dict) and isinstance(high, list | str) else high


def overridden(user: Mapping[str, Any], vendor: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Return the keys with different values in the user-data, such as ``ntp.servers``."""
    for key in vendor:
        if key not in user or user[key] == vendor[key]:
            continue
        if isinstance(user[key], dict) and isinstance(vendor[key], dict):
            yield from overridden(user[key], vendor[key], f"{above}{key}.")
        else:
            yield f"{above}{key}"


def config_of(data: bytes, what: str, findings: list[str]) -> dict[str, Any]:
    """Return the cloud-config in user-data or static vendor data; unreadable data are a finding."""
    try:
        return merged([part for part in read(data.decode("utf-8")) if part.text.strip()], [])
    except (UnicodeDecodeError, CloudInitError):
        findings.append(f"{what} is ignored here: it is compressed or not a cloud-config; use --check")
        return {}


def opted_out(user: Mapping[str, Any]) -> Iterator[str]:
    choice = user.get("vendor_data2")
    if isinstance(choice, dict) and choice.get("enabled") in (False, "false"):
        yield "the user-data disables dynamic vendor data: the instance ignores all of this"
    elif isinstance(choice, dict) and choice.get("disabled_handlers"):
        yield "the user-data disables some types of vendor data (vendor_data2.disabled_handlers)"


def static_text(document: bytes) -> str:
    """Return the value of ``cloud-init`` in a vendor_data.json.

    :raises ConfigError: it is not a JSON object, or the value is not a string.
    """
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        raise ConfigError("the static vendor data is not JSON") from None
    text = value.get("cloud-init", "") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise ConfigError("the static vendor data must be an object with a string as cloud-init")
    return text
