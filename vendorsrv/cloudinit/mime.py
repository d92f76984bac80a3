"""Join parts into one string, and split a string into the parts that cloud-init finds (cloudinit/user_data.py)."""

from __future__ import annotations

import base64
import email
import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from email.message import Message
from typing import Final

from vendorsrv.cloudinit.parts import MERGE, Part
from vendorsrv.cloudinit.text import is_merger, type_of
from vendorsrv.errors import CloudInitError

#: Declared types for which cloud-init determines the type by the text.
BY_TEXT: Final = ("text/plain", "text/x-not-multipart", "text/x-shellscript")
COMPRESSED: Final = re.compile(r"application/(gzip(-compressed|ped)?|x-(compress(ed)?|gunzip|gzip(-compressed)?))")
#: Maximum size of a decompressed part in bytes.
MAX_DECOMPRESSED: Final = 16 * 2**20
#: The type of a text without a header that cloud-init knows.
UNKNOWN: Final = "text/x-not-multipart"


def join(parts: Sequence[Part]) -> str:
    """Return one string: the text of a single cloud-config, else a MIME message.

    :param parts: with unique names.
    """
    if len(parts) == 1 and parts[0].media_type == "text/cloud-config" and not parts[0].merge_type:
        return parts[0].text
    digest = hashlib.sha256("\0".join(f"{part.name}\0{part.text}" for part in parts).encode()).hexdigest()
    boundary = f"=={digest[:32]}=="
    lines = [f'Content-Type: multipart/mixed; boundary="{boundary}"', "MIME-Version: 1.0", ""]
    for part in parts:
        is_ascii = part.text.isascii()  # cloud-init reads other characters as lone surrogates unless they are encoded
        lines += [
            f"--{boundary}",
            f'Content-Type: {part.media_type}; charset="utf-8"',
            "MIME-Version: 1.0",
            f"Content-Transfer-Encoding: {'7bit' if is_ascii else 'base64'}",
            f'Content-Disposition: attachment; filename="{part.name}"',
        ]
        # merge_how in the text of a template is not known before it is rendered
        if merge_type := part.merge_type or (part.media_type == "text/jinja2" and MERGE):
            lines += [f"Merge-Type: {merge_type}"]
        lines += ["", part.text if is_ascii else base64.encodebytes(part.text.encode()).decode("ascii")]
    return "\n".join([*lines, f"--{boundary}--", ""])


def read(text: str) -> list[Part]:
    """Return the parts of a string as cloud-init finds them, with the types that it assigns.

    :raises CloudInitError: cloud-init's init stage would fail, or it would silently lose a part.
    """
    if "mime-version:" not in text[:4096].lower():  # as cloud-init decides
        return [Part(type_of(text) or UNKNOWN, "part-001", text)]
    leaves = []
    for part in email.message_from_string(text).walk():
        if part.get_content_maintype() != "multipart":
            leaves.append(part)
        elif not part.is_multipart():
            raise CloudInitError(
                "a MIME message for cloud-init has no parts; "
                "separate them with lines of -- and the boundary of its header"
            )
    return [read_leaf(leaf, number) for number, leaf in enumerate(leaves, 1)]


def read_leaf(leaf: Message, number: int) -> Part:
    media_type = leaf.get_content_type()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", leaf.get_filename() or "").lstrip("._-")[:100] or f"part-{number:03}"
    data = leaf.get_payload(decode=True) or b""
    assert isinstance(data, bytes)
    compressed = COMPRESSED.fullmatch(media_type) is not None
    if compressed:
        data = decompressed(data, name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise CloudInitError(f"part {name} for cloud-init is not UTF-8, or is not base64-encoded") from None
    if compressed or media_type in BY_TEXT:
        media_type = type_of(text) or ("text/plain" if compressed else media_type)
    merge_type = ""
    if not compressed and media_type in ("text/cloud-config", "text/jinja2"):
        headers = dict(leaf)  # cloud-init distinguishes upper and lower case here
        merge_type = re.sub(r"\s+", "", str(headers.get("Merge-Type") or headers.get("X-Merge-Type") or ""))
        if merge_type and not is_merger(merge_type):
            raise CloudInitError(
                f"part {name} for cloud-init has a Merge-Type without dict(), or that cloud-init does not know"
            )
    return Part(media_type, name, text, merge_type)


def decompressed(data: bytes, name: str) -> bytes:
    decompressor = zlib.decompressobj(wbits=31)
    found = b""
    with suppress(zlib.error):
        found = decompressor.decompress(data, MAX_DECOMPRESSED)
    if not decompressor.eof or decompressor.unused_data:  # truncated, too large or followed by other data
        raise CloudInitError(f"part {name} for cloud-init is not valid gzip or is too large; cloud-init would fail")
    return found


def to_json(parts: Iterable[Part]) -> list[dict[str, str]]:
    """Return parts as JSON values, for the cache and the pins."""
    return [
        {"type": part.media_type, "name": part.name, "text": part.text}
        | ({"merge_type": part.merge_type} if part.merge_type else {})
        for part in parts
    ]


def from_json(kept: Iterable[dict[str, str]]) -> list[Part]:
    """Return the parts from the values of :func:`to_json`."""
    return [Part(each["type"], each["name"], each["text"], each.get("merge_type", "")) for each in kept]


def numbered(handler: str, parts: Sequence[Part], first: int = 1) -> list[Part]:
    """Return the parts with unique, numbered names: cloud-init runs scripts in the order of their file names."""
    return [
        Part(part.media_type, f"{n:02}-{handler}-{part.name}", part.text, part.merge_type)
        for n, part in enumerate(parts, first)
    ]
