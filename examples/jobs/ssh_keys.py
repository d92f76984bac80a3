"""SSH keys of a project's members, from a portal."""

from urllib.parse import quote

import httpx
from oslo_config import cfg
from vendorsrv import Handler, NotForThisInstance, OnError, VendordataRequest
from vendorsrv.facts import Project


class SshKeys(Handler):
    """Tell an instance the SSH keys of its project's members, in the allowed projects and domains."""

    name = "ssh-keys"
    needs = (Project,)
    cache_for = 300.0
    on_error = OnError.STALE
    options = (
        cfg.URIOpt("url", required=True, sample_default="https://portal.example.org", help="The URL of the portal."),
        cfg.StrOpt("token", required=True, secret=True, sample_default="CHANGE-ME", help="The portal's token."),
        cfg.ListOpt("projects", default=[], help="The ids of projects whose instances get keys."),
        cfg.ListOpt("domains", default=["default"], help="The ids of domains whose instances get keys."),
    )
    http: httpx.AsyncClient

    def cache_key(self, request: VendordataRequest) -> str | None:
        return request.project_id

    async def handle(self, request: VendordataRequest) -> dict[str, list[str]]:
        project = request.facts.project
        if project.id not in self.settings.projects and project.domain_id not in self.settings.domains:
            raise NotForThisInstance
        url = f"{self.settings.url}/projects/{quote(project.id)}/members"
        response = await self.http.get(url, headers={"Authorization": f"Bearer {self.settings.token}"})
        members = response.raise_for_status().json()
        return {"keys": sorted({key for member in members for key in member["ssh_keys"]})}
