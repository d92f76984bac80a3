"""The parts that handlers return for cloud-init. Each class checks its arguments when it is created."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from vendorsrv.cloudinit.keys import KEYS
from vendorsrv.cloudinit.schema import find_violations
from vendorsrv.cloudinit.text import (
    JINJA,
    LOCK,
    ON_LOOP,
    UNCHECKED,
    VALID,
    check_script,
    check_syntax,
    check_template,
    clean,
    digest_of,
    is_merger,
    load_config,
    type_of,
)
from vendorsrv.errors import CloudInitError
from vendorsrv.strictjson import StrictJSONError, encode

#: How a part is merged into the earlier ones unless it says otherwise; cloud-init's default replaces earlier keys.
MERGE: Final = "list(append)+dict(no_replace,recurse_list)+str()"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: Control characters except tabs and newlines, which are quoted in YAML.
UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
OTHERS: Final = re.compile(r"[^\x00-\x7f]")
DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What to use instead of a list that user-data with the same key would replace.
ALTERNATIVES: Final = {
    "bootcmd": "use a Boothook, which runs at every boot, or a Script, which runs once",
    "packages": "install them in a Script",
    "runcmd": "use a Script, which runs before any runcmd",
    "write_files": "write them in a Script, or in a Boothook if they are needed early",
    "users": "create them in a Script",
    "ssh_authorized_keys": "add them in a Script",
}
#: The class for each media type that a Script cannot have.
OTHER_CLASSES: Final = {"text/cloud-config": "CloudConfig", "text/cloud-boothook": "Boothook", "text/jinja2": "Jinja"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an instance's vendor data. Handlers create instances of the classes below.

    :ivar media_type: its MIME type.
    :ivar name: the end of its file name on the instance, after a number and the handler's name.
    :ivar text: the text including its header. It may be secret and is not in ``repr()``.
    :ivar merge_type: its header ``Merge-Type`` in the MIME message that it came in, if any.
    """

    media_type: str
    name: str
    text: str = field(repr=False)
    merge_type: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise CloudInitError("the name of a part must be letters, digits, dots, - and _")


class CloudConfig(Part):
    """A ``#cloud-config``: a mapping of cloud-init's keys to JSON values.

    One of more than :data:`vendorsrv.cloudinit.text.ON_LOOP` characters is written as JSON, which is YAML as well, and
    checked against the schema when the handler has returned it: that takes up to 4 s, in a thread.

    A top-level list is rejected unless it is ``replaceable``: user-data with the same key replaces the whole list.

    :param mapping: checked against the schema of the cloud-init that is installed on this server, as far as all
        supported versions agree, or else against a table of its keys and their types.
    :param merge: how it is merged into the earlier parts, as cloud-init's ``merge_how``; by default lists are
        appended, mappings are merged, and the first of two other values wins.
    :param replaceable: keys of lists that user-data may replace.
    :param also: keys that cloud-init does not define: of a newer version, or of a module of the image.
    :raises CloudInitError: cloud-init would ignore it or fail; the message contains keys and no values.
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
        config = copied(mapping)
        if merge is not None and not (isinstance(merge, str) and is_merger(merge)):
            raise CloudInitError(f"merge must be a merge_how of cloud-init with dict(), such as {MERGE!r}")
        for problem in find_ineffective(config, replaceable):
            raise CloudInitError(f"cloud-config {problem}")
        config["merge_how"] = merge or MERGE
        flow = json.dumps(config, ensure_ascii=False)
        if large := len(flow) > ON_LOOP:
            body = OTHERS.sub(lambda found: f"\\U{ord(found[0]):08x}", flow)
        else:
            for violation in find_violations(config, (*also, "merge_how")):
                if not violation.is_disputed:
                    raise CloudInitError(f"cloud-config {violation}")
            body = yaml.dump(config, Dumper=DUMPER, sort_keys=False, width=1000)
        Part.__init__(self, "text/cloud-config", name or "cloud-config", f"#cloud-config\n{body}")
        with LOCK:
            if large:
                UNCHECKED[digest_of(self.text)] = also
            else:
                VALID[digest_of(self.text)] = True

    @classmethod
    def from_yaml(
        cls,
        text: str,
        merge: str | None = None,
        replaceable: Sequence[str] = (),
        name: str | None = None,
        also: Sequence[str] = (),
    ) -> CloudConfig:
        """Return the cloud-config of a YAML text, read as by cloud-init; the header ``#cloud-config`` is optional.

        Reading blocks: a text of 100 KB takes 0.1 s.

        :param merge: overrides the text's own ``merge_how``.
        :raises CloudInitError: as for a mapping, or the text is not YAML, or not a mapping.
        """
        config = {**load_config(clean(text, "a cloud-config"), "a cloud-config")}
        own = config.pop("merge_how", None)
        return cls(config, own if merge is None else merge, replaceable, name, also)


class Script(Part):
    """A script that runs once, as root, at the end of an instance's first boot, before the user's ``runcmd``.

    User-data cannot replace it, but can disable vendor data.

    :param text: the script with its ``#!`` line.
    :param name: the end of its file name. Scripts run in the order of the handlers, and in the order in which each
        handler returns them.
    :raises CloudInitError: the kernel could not run it.
    """

    __slots__ = ()

    def __init__(self, text: str, name: str | None = None) -> None:
        text = clean(text, "a Script")
        if other := OTHER_CLASSES.get(type_of(text) or ""):
            raise CloudInitError(f"a Script cannot begin with this header; use {other}")
        check_script(text, "a Script")
        Part.__init__(self, "text/x-shellscript", name or "script", text)


class Boothook(Part):
    """A script that runs as root early in every boot, before packages are installed; the network may not be up.

    It must be idempotent. (cloud-init never runs the type ``text/x-shellscript-per-boot`` from vendor data.)

    :param text: the script with its ``#!`` line; the header ``#cloud-boothook`` is optional.
    :raises CloudInitError: the kernel could not run it.
    """

    __slots__ = ()

    def __init__(self, text: str, name: str | None = None) -> None:
        text = clean(text, "a Boothook")
        if type_of(text) == "text/cloud-boothook":
            text = text.partition("\n")[2].lstrip()
        check_script(text, "a Boothook")
        Part.__init__(self, "text/cloud-boothook", name or "boothook", f"#cloud-boothook\n{text}")


class Jinja(Part):
    r"""A template of a cloud-config, a script or a boothook that cloud-init renders with the instance's metadata.

    cloud-init 22.4 ignores one of a boothook; newer versions render it.

    The result is not checked, since only the instance can render it.

    :param text: a template such as ``#cloud-config\nhostname: mail-{{ v1.instance_id }}``; the header
        ``## template: jinja`` is optional.
    :raises CloudInitError: its syntax is wrong, or it is not a template of one of these.
    """

    __slots__ = ()

    def __init__(self, text: str, name: str | None = None) -> None:
        text = clean(text, "a Jinja")
        if type_of(text) != "text/jinja2":
            text = f"{JINJA}\n{text}"
        check_template(text, "a Jinja")
        if len(text) <= ON_LOOP:  # else when the handler has returned it
            check_syntax(text, "a Jinja")
        Part.__init__(self, "text/jinja2", name or "template", text)


def copied(mapping: object) -> dict[str, Any]:
    """Return a copy of JSON values that shares no objects, for which YAML would write aliases.

    :raises CloudInitError: it is not a mapping of JSON values, is empty, or contains control characters.
    """
    if not isinstance(mapping, Mapping):
        raise CloudInitError(f"a CloudConfig takes a mapping, not {type(mapping).__name__}")
    if not mapping:
        raise CloudInitError("a CloudConfig must not be empty; return None instead")
    try:
        config: dict[str, Any] = json.loads(encode(dict(mapping)))
    except StrictJSONError as error:
        raise CloudInitError(f"cloud-config {error}") from None
    for key, value in config.items():
        for text in (key, *texts_in(value)):
            if UNPRINTABLE.search(text):
                raise CloudInitError(f"cloud-config {key!r}: contains a control character")
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


def find_ineffective(config: Mapping[str, Any], replaceable: Sequence[str]) -> Iterator[str]:
    """Return keys that cloud-init accepts but that would not have the intended effect, with the reason."""
    for key, value in config.items():
        if key in ("merge_how", "merge_type"):
            yield f"{key}: use CloudConfig(…, merge=…)"
        elif key in ("vendor_data", "vendor_data2"):
            yield f"{key}: only user-data and the image can configure vendor data"
        elif isinstance(value, dict) and "object" in (types := KEYS.get(key, ())) and {"array", "string"} & {*types}:
            yield f"{key}: a mapping would replace the user's own list or string; use a Script"
        elif isinstance(value, list) and key not in replaceable:
            instead = ALTERNATIVES.get(key, "use a Script")
            yield (
                f'{key}: user-data with {key} would replace the whole list; {instead}, or set replaceable=("{key}",)'
            )
