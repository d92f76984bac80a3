"""The JSON object that Nova posts, from options or from a file."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vendorsrv.errors import ConfigError


def build_payload(
    base: Mapping[str, Any] | None = None,
    *,
    instance_id: str | None = None,
    project_id: str | None = None,
    image_id: str | None = None,
    hostname: str | None = None,
    user_data: bytes | None = None,
    metadata: Mapping[str, str] | None = None,
    boot_roles: str | None = None,
) -> dict[str, Any]:
    """Build the object that Nova posts (``DynamicVendorData._do_request``).

    :param base: a whole payload, which the other parameters change; by default that of an invented instance that
        was booted from a volume.
    :param user_data: as the instance sees it; Nova stores it as base64.
    :param boot_roles: the names, joined by commas.
    """
    given = {
        "project-id": project_id,
        "instance-id": instance_id,
        "image-id": image_id,
        "user-data": None if user_data is None else base64.b64encode(user_data).decode("ascii"),
        "hostname": hostname,
        "metadata": None if metadata is None else dict(metadata),
        "boot-roles": boot_roles,
    }
    if base is None:
        base = {
            "project-id": uuid.uuid4().hex,
            "instance-id": str(uuid.uuid4()),
            "image-id": "",
            "user-data": None,
            "hostname": "vendorsrv-call",
            "metadata": {},
            "boot-roles": "",
        }
    return {**base, **{name: value for name, value in given.items() if value is not None}}


def read_payload(path: str | Path) -> dict[str, Any]:
    """Read a payload from a JSON file; it is sent unchanged.

    :raises ConfigError: the file cannot be read, or is not a JSON object.
    """
    try:
        payload = json.loads(read_file(path))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON") from None
    if not isinstance(payload, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return payload


def read_file(path: str | Path) -> bytes:
    """Return the content of a file.

    :raises ConfigError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError:
        raise ConfigError(f"{path} does not exist or cannot be read") from None
