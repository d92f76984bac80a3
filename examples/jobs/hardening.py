"""Racks and SSH hardening from an inventory of compute hosts."""

import yaml
from oslo_config import cfg
from pydantic import BaseModel, TypeAdapter
from vendorsrv import CloudConfig, Handler, Script, ServiceUnavailable, VendordataRequest, WatchedFile
from vendorsrv.facts import Server


class Host(BaseModel):
    rack: str
    sshd_config: str


class Hardening(Handler):
    """Tell an instance its rack, and harden its SSH as the inventory has it for the compute host."""

    name = "hardening"
    needs = (Server,)
    cloud_init_keys = ("disable_root", "ssh_pwauth")
    options = (cfg.StrOpt("inventory", required=True, sample_default="/etc/inventory.yaml", help="A file of hosts."),)

    async def open(self) -> None:
        hosts = TypeAdapter(dict[str, Host])
        self.hosts = WatchedFile(self.settings.inventory, lambda text: hosts.validate_python(yaml.safe_load(text)))

    def host_of(self, request: VendordataRequest) -> Host:
        for name, host in self.hosts.value.items():
            if request.facts.server.is_on(name):  # by a hash: the name is for administrators
                return host
        raise ServiceUnavailable("the inventory does not have the compute host")

    def handle(self, request: VendordataRequest) -> dict[str, str]:
        return {"rack": self.host_of(request).rack}

    def cloud_init(self, request: VendordataRequest) -> list[CloudConfig | Script]:
        config = f"cat >/etc/ssh/sshd_config.d/00-site.conf <<'END'\n{self.host_of(request).sshd_config}\nEND"
        reload = "systemctl try-reload-or-restart ssh sshd"
        return [CloudConfig({"disable_root": True, "ssh_pwauth": False}), Script(f"#!/bin/sh\n{config}\n{reload}\n")]
