"""Parts, checks, joining and preview of what an instance's cloud-init gets."""

from vendorsrv.cloudinit.parts import Boothook, CloudConfig, Jinja, Script
from vendorsrv.errors import CloudInitError

__all__ = ["Boothook", "CloudConfig", "CloudInitError", "Jinja", "Script"]
