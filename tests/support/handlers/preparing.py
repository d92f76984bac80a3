"""Handlers whose answers share what one run makes, and tell one run from another."""

from __future__ import annotations

import os
import secrets

from oslo_config import cfg

from vendorsrv import CloudConfig, Handler, VendordataRequest


class Leaving(Handler):
    """Leaves a file for each run, named after the method and its secret."""

    options = (cfg.StrOpt("runs", required=True, help="Directory for a file from each run."),)

    def leave(self, method: str) -> str:
        """Leave the file, and return the secret."""
        made = secrets.token_hex(8)
        os.close(os.open(f"{self.settings.runs}/{method}.{made}", os.O_CREAT | os.O_EXCL))
        return made


class Enrolled(Leaving):
    """Prepares a password, which its JSON and its cloud-config have."""

    async def prepare(self, request: VendordataRequest) -> dict[str, str]:
        """Return the password."""
        return {"password": self.leave("prepare")}

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Return it."""
        return {"password": request.prepared["password"], "run": self.leave("handle")}

    def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return it in a thread."""
        self.leave("cloud_init")
        return CloudConfig({"final_message": request.prepared["password"]})


class Enrolling(Leaving):
    """The same handler before it had ``prepare``, as a server of 0.1.0 knows it."""

    name = "enrolled"
    pin = True

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Return a password."""
        return {"password": self.leave("handle"), "run": "old"}

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return another one."""
        return CloudConfig({"final_message": self.leave("cloud_init")})


class Joining(Leaving):
    """Has a token for cloud-init alone."""

    pin = True

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return the token."""
        return CloudConfig({"final_message": self.leave("cloud_init")})
