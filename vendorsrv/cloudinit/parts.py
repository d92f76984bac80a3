"""What a handler gives to cloud-init: cloud-config, scripts, boothooks and templates, each checked where it is made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from vendorsrv.cloudinit.keys import KEYS
from vendorsrv.cloudinit.schema import find_problems
from vendorsrv.cloudinit.text import JINJA, MERGER, check_script, check_template, clean, type_of
from vendorsrv.errors import CloudInitError
from vendorsrv.strictjson import StrictJSONError, encode

#: How a part is merged into those before it: lists append, mappings take each other in, and of two single values the
#: first holds. (cloud-init's own rule for parts is that the later one replaces the key.)
MERGE: Final = "list(append)+dict(no_replace,recurse_list)+str()"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: An end of line is no trouble for a value, which is quoted.
UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What does what a list would, and stays when the user has the same list.
INSTEAD: Final = {
    "bootcmd": "use a Boothook, which runs at every boot, or a Script, which runs once",
    "packages": "install them in a Script",
    "runcmd": "use a Script, which runs before any runcmd",
    "write_files": "write them in a Script, or in a Boothook if they are needed early",
    "users": "make them in a Script",
    "ssh_authorized_keys": "add them in a Script",
}
#: Texts that belong into another class, by the type that cloud-init takes them for.
CLASSES: Final = {
    "text/cloud-config": "CloudConfig",
    "text/cloud-boothook": "Boothook",
    "text/jinja2": "Jinja",
    "text/x-shellscript": "Script",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what an instance's cloud-init gets. Handlers make one of the classes below.

    :ivar media_type: what cloud-init takes it for.
    :ivar name: of its file on the instance, after a number and the handler's name.
    :ivar text: with its first line. It may be secret, and is not in ``repr()``.
    """

    media_type: str
    name: str
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise CloudInitError("the name of a part must be letters, digits, dots, - and _")


class CloudConfig(Part):
    """A ``#cloud-config``: a mapping of cloud-init's keys, in JSON values.

    A list at the top is refused: the instance would lose all of it as soon as the user's own user-data has the key.

    :param mapping: is checked by the schema of the cloud-init that is installed on this server, and else by a table
        of its keys and their types.
    :param merge: how it is merged into the parts before it, as cloud-init's ``merge_how``; by default lists append,
        mappings take each other in, and the first of two single values holds.
    :param replaceable: lists that the user's own may replace.
    :param also: keys that cloud-init itself does not have: of a newer version, or of a module of the image's.
    :raises CloudInitError: it would be ignored, or harm a boot; the message names the key and no value.
    """

    __slots__ = ()

    def __init__(
        self,
        mapping: Mapping[str, Any],
        merge: str | None = None,
        replaceable: Sequence[str] = (),
        name: str | None = None,
        also: Sequence[str] = (),
    ) -> None:
        config = plain(mapping)
        if merge is not None and not (isinstance(merge, str) and MERGER.fullmatch(merge)):
            raise CloudInitError(f"merge is no merge_how of cloud-init, such as {MERGE!r}")
        for problem in (*wrong_here(config, replaceable), *find_problems(config, also)):
            raise CloudInitError(f"cloud-config {problem}")
        body = yaml.dump({**config, "merge_how": merge or MERGE}, Dumper=DUMPER, sort_keys=False, width=1000)
        Part.__init__(self, "text/cloud-config", name or "cloud-config", f"#cloud-config\n{body}")


class Script(Part):
    """A script that runs once, as root, at the end of an instance's first boot, before any ``runcmd`` of the user's.

    It stays whatever the user's user-data says, unless that turns vendor data off.

    :param text: the script, with its ``#!`` line.
    :param name: of its file; scripts run in the order of the handlers, and of each handler's own.
    :raises CloudInitError: it could not be run.
    """

    __slots__ = ()

    def __init__(self, text: str, name: str | None = None) -> None:
        text = clean(text, "a Script")
        other = type_of(text)
        if other in CLASSES and other != "text/x-shellscript":
            raise CloudInitError(f"a Script cannot begin like that; use {CLASSES[other]}")
        check_script(text, "a Script")
        Part.__init__(self, "text/x-shellscript", name or "script", text)


class Boothook(Part):
    """A script that runs as root at every boot, early: before the network is up for certain, and before packages.

    It must be able to run again and again. (A script of the type per-boot never runs when it comes from a vendor.)

    :param text: the script with its ``#!`` line; the line ``#cloud-boothook`` before it may be left out.
    :raises CloudInitError: it could not be run.
    """

    __slots__ = ()

    def __init__(self, text: str, name: str | None = None) -> None:
        text = clean(text, "a Boothook")
        if type_of(text) == "text/cloud-boothook":
            text = text.partition("\n")[2].lstrip()
        check_script(text, "a Boothook")
        Part.__init__(self, "text/cloud-boothook", name or "boothook", f"#cloud-boothook\n{text}")


class Jinja(Part):
    r"""A cloud-config or a script that the instance renders with what it knows of itself.

    What it renders to is not checked: its keys are known to the instance alone.

    :param text: a template, such as ``#cloud-config\nhostname: mail-{{ v1.instance_id }}``; the line
        ``## template: jinja`` before it may be left out.
    :raises CloudInitError: its syntax is wrong, or it renders to none of these.
    """

    __slots__ = ()

    def __init__(self, text: str, name: str | None = None) -> None:
        text = clean(text, "a Jinja")
        if type_of(text) != "text/jinja2":
            text = f"{JINJA}\n{text}"
        check_template(text, "a Jinja")
        Part.__init__(self, "text/jinja2", name or "template", text)


def plain(mapping: object) -> dict[str, Any]:
    """Copy a mapping, so that it is JSON and no part of it is there twice (YAML would refer to the first).

    :raises CloudInitError: it is no mapping of JSON values, or is empty, or a text in it has control characters.
    """
    if not isinstance(mapping, Mapping):
        raise CloudInitError(f"a CloudConfig must be made of a mapping, not of {type(mapping).__name__}")
    if not mapping:
        raise CloudInitError("a CloudConfig must not be empty; give nothing instead")
    try:
        config: dict[str, Any] = json.loads(encode(dict(mapping)))
    except StrictJSONError as error:
        raise CloudInitError(f"cloud-config {error}") from None
    for key, value in config.items():
        for text in (key, *texts_in(value)):
            if UNPRINTABLE.search(text):
                raise CloudInitError(f"cloud-config {key!r}: has a control character")
    return config


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)


def wrong_here(config: Mapping[str, Any], replaceable: Sequence[str]) -> Iterator[str]:
    """Say what cloud-init would take, and what would yet not come to what the vendor means."""
    for key, value in config.items():
        if key in ("merge_how", "merge_type"):
            yield f"{key}: say it by CloudConfig(…, merge=…)"
        elif key in ("vendor_data", "vendor_data2"):
            yield f"{key}: only the user's user-data and the image decide about vendor data"
        elif isinstance(value, dict) and "object" in (types := KEYS.get(key, ())) and {"array", "string"} & {*types}:
            yield f"{key}: a mapping would take the place of the user's own list or string; do it in a Script"
        elif isinstance(value, list) and key not in replaceable:
            instead = INSTEAD.get(key, "do it in a Script")
            yield (
                f"{key}: the whole list vanishes when the user's user-data has {key}; {instead}, "
                f'or say replaceable=("{key}",)'
            )
