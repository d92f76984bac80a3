"""Keys with which instances join an overlay network, from Headscale."""

from datetime import UTC, datetime, timedelta
from shlex import quote

from oslo_config import cfg
from pydantic import BaseModel
from vendorsrv import Handler, Script, VendordataRequest


class Joining(BaseModel):
    url: str
    key: str


class JoinToken(Handler):
    """Give an instance a key with which it joins the overlay network, once and within an hour."""

    name = "join-token"
    answer = Joining
    pin_for = 3600.0
    options = (
        cfg.URIOpt("url", required=True, sample_default="https://headscale.example.org", help="The URL of Headscale."),
        cfg.StrOpt("api_key", required=True, secret=True, sample_default="CHANGE-ME", help="A key of its API."),
        cfg.StrOpt("user", required=True, sample_default="1", help="The id of the user whose nodes the instances are."),
    )

    def prepare(self, request: VendordataRequest) -> str:
        url, until = f"{self.settings.url}/api/v1/preauthkey", datetime.now(UTC) + timedelta(seconds=self.pin_for)
        headers = {"Authorization": f"Bearer {self.settings.api_key}", "Grpc-Timeout": f"{int(request.time_left())}S"}
        body = {"user": self.settings.user, "expiration": until.isoformat()}
        return str(self.http.post(url, json=body, headers=headers).raise_for_status().json()["preAuthKey"]["key"])

    def handle(self, request: VendordataRequest) -> Joining:
        return Joining(url=self.settings.url, key=request.prepared)

    def cloud_init(self, request: VendordataRequest) -> Script:
        server, key = quote(self.settings.url), quote(request.prepared)
        return Script(f"#!/bin/sh\nexec tailscale up --login-server {server} --auth-key {key}\n")
