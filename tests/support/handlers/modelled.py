"""A proxy whose answers have a model."""

from __future__ import annotations

from pydantic import BaseModel

from vendorsrv import Proxy


class Host(BaseModel):
    """A host."""

    name: str


class HostOfRack(Proxy):
    """Return what an upstream says of a host."""

    answer = Host
