"""Data for an instance's cloud-init."""

from vendorsrv.cloudinit.parts import Boothook, CloudConfig, Jinja, Script
from vendorsrv.errors import CloudInitError

__all__ = ["Boothook", "CloudConfig", "CloudInitError", "Jinja", "Script"]
