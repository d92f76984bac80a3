"""What an instance's cloud-init takes."""

from vendorsrv.cloudinit.parts import Boothook, CloudConfig, Jinja, Script
from vendorsrv.errors import CloudInitError

__all__ = ["Boothook", "CloudConfig", "CloudInitError", "Jinja", "Script"]
