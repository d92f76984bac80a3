"""Documents of cloud-config from Consul's KV."""

import asyncio
from urllib.parse import quote

import httpx
from oslo_config import cfg
from vendorsrv import CloudConfig, Handler, VendordataRequest


class ConsulDocuments(Handler):
    """Configure an instance by Consul's documents for its hostname, its project and its boot roles."""

    name = "consul-documents"
    options = (
        cfg.URIOpt("url", default="http://127.0.0.1:8500/v1", help="The URL of a Consul agent."),
        cfg.StrOpt("token", default="", secret=True, help="A token with key:read for the prefix."),
        cfg.StrOpt("prefix", default="vendordata", help="The documents are below this key."),
    )
    http: httpx.AsyncClient

    async def open(self) -> None:
        self.every(30, self.find_leader)  # in /-/ready

    async def find_leader(self) -> None:
        (await self.http.get(f"{self.settings.url}/status/leader")).raise_for_status()

    async def cloud_init(self, request: VendordataRequest) -> list[CloudConfig]:
        # The tenant chose the hostname: it counts in the project only. Lists add up; the first of other values wins.
        project, roles = ("projects", str(request.project_id)), [("roles", role.lower()) for role in request.boot_roles]
        keys = [(*project, "hosts", str(request.hostname)), (*project, "all"), *roles]
        texts = await asyncio.gather(*map(self.get, keys))
        lists = ("packages", "runcmd", "write_files")  # a user's own replace them
        return [CloudConfig.from_yaml(text, replaceable=lists) for text in texts if text]

    async def get(self, key: tuple[str, ...]) -> str:
        url = "/".join([self.settings.url, "kv", self.settings.prefix, *(quote(part, safe="") for part in key)])
        response = await self.http.get(url, params={"raw": "true"}, headers={"X-Consul-Token": self.settings.token})
        return "" if response.status_code == 404 else response.raise_for_status().text
