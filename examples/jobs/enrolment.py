"""One-time passwords with which instances enrol in FreeIPA."""

from shlex import quote
from typing import Any

import httpx
from oslo_config import cfg
from vendorsrv import CloudConfig, Handler, NotForThisInstance, Script, UpstreamError, VendordataRequest
from vendorsrv.facts import Image

NOT_FOUND, DUPLICATE = 4001, 4002  # FreeIPA's errors.NotFound and errors.DuplicateEntry


class Enrolment(Handler):
    """Add an instance to FreeIPA when its metadata or its image has ``ipa_enroll=true``, until it is deleted."""

    name = "enrolment"
    needs = (Image,)
    cloud_init_keys = ("fqdn",)
    options = (
        cfg.URIOpt("url", required=True, sample_default="https://ipa.example.org", help="The URL of FreeIPA."),
        cfg.StrOpt("user", required=True, sample_default="vendorsrv", help="An account that may add hosts."),
        cfg.StrOpt("password", required=True, secret=True, sample_default="CHANGE-ME", help="Its password."),
        cfg.HostnameOpt("domain", required=True, sample_default="example.org", help="The domain of the hosts."),
    )
    http: httpx.AsyncClient

    async def prepare(self, request: VendordataRequest) -> dict[str, Any]:
        properties = request.facts.image.properties if request.facts.image else {}  # None: booted from a volume
        if str(request.metadata.get("ipa_enroll", properties.get("ipa_enroll"))).lower() != "true":
            raise NotForThisInstance
        host = f"{request.instance_id}.{self.settings.domain}"  # not the hostname, which the tenant chose
        said = await self.call("host_add", host, random=True, force=True)
        if said["error"] and said["error"]["code"] == DUPLICATE:  # an earlier run's, whose password was lost
            said = await self.call("host_mod", host, random=True)
        if said["error"]:  # also when the host has enrolled: then it gets no second password
            raise UpstreamError("the directory refuses to enrol the instance")
        return {"host": host, "password": said["result"]["result"]["randompassword"]}

    async def call(self, method: str, host: str, **options: object) -> Any:
        url, account = f"{self.settings.url}/ipa", {"user": self.settings.user, "password": self.settings.password}
        login = await self.http.post(f"{url}/session/login_password", data=account, headers={"Referer": url})
        headers = {"Referer": url, "Cookie": login.raise_for_status().headers["Set-Cookie"].partition(";")[0]}
        body = {"method": method, "params": [[host], options], "id": 0}
        return (await self.http.post(f"{url}/session/json", json=body, headers=headers)).raise_for_status().json()

    async def handle(self, request: VendordataRequest) -> Any:
        return request.prepared

    async def cloud_init(self, request: VendordataRequest) -> list[CloudConfig | Script]:
        host, password = request.prepared["host"], quote(request.prepared["password"])
        install = f"#!/bin/sh\nexec ipa-client-install --unattended --hostname {host} --password {password}\n"
        return [CloudConfig({"fqdn": host}), Script(install)]

    async def deleted(self, instance_id: str, prepared: Any) -> None:
        # Also when nothing is prepared: a run may have died between the directory and the database.
        said = await self.call("host_del", f"{instance_id}.{self.settings.domain}")
        if said["error"] and said["error"]["code"] != NOT_FOUND:
            raise UpstreamError("the directory refuses to remove the host")
