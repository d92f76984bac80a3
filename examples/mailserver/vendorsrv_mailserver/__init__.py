"""The mail-server example of Nova's vendordata specification, as a vendorsrv handler."""

import re
import shlex
from importlib import resources
from typing import Final

from oslo_config import cfg

from vendorsrv import CloudConfig, Handler, OnError, Script, VendordataRequest

__all__ = ["MailServer"]

#: A host's label in a mail address; the tenant chose the hostname, which may be anything.
LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
SCRIPT: Final = resources.files(__name__).joinpath("postfix.sh").read_text("utf-8")


class MailServer(Handler):
    """Make an instance a mail server when a mail administrator booted it.

    Its settings are in ``[handler:mailserver]``. Other instances get ``{}``.
    """

    name = "mailserver"
    pin = True  # an instance is a mail server from its boot on, or never
    on_error = OnError.FAIL  # a mail server without its configuration is broken
    options = (
        cfg.HostnameOpt(
            "domain", required=True, sample_default="example.org", help="The mail domain that the instances serve."
        ),
        cfg.HostAddressOpt(
            "relayhost", help="The relay for other domains' mail; without it, mail goes directly to its host."
        ),
        cfg.StrOpt("role", default="mail-admin", help="The role that makes the booting user a mail administrator."),
        cfg.StrOpt(
            "postmaster", default="root", regex=r"^[\w.@+-]+$", help="The recipient of mail to root and postmaster."
        ),
    )
    cloud_init_keys = ("fqdn",)

    async def handle(self, request: VendordataRequest) -> dict[str, object]:
        """Return the mail server's configuration, as JSON for the instance's own tools."""
        if self.settings.role not in request.boot_roles:
            return {}
        # Nova may have no hostname; the instance's id is a unique label.
        label = request.hostname or request.instance_id
        return {
            "role": "mail-server",
            "domain": self.settings.domain,
            "hostname": f"{label}.{self.settings.domain}",
            "relayhost": self.settings.relayhost,
        }

    async def cloud_init(self, request: VendordataRequest) -> list[CloudConfig | Script] | None:
        """Install and configure postfix, so that the user's own user-data does not override it by accident."""
        if self.settings.role not in request.boot_roles:
            return None
        name = request.hostname or ""
        label = name if LABEL.fullmatch(name) else request.instance_id
        hostname = f"{label}.{self.settings.domain}"
        values = {
            "domain": self.settings.domain,
            "hostname": hostname,
            "relayhost": f"[{self.settings.relayhost}]" if self.settings.relayhost else "",
            "postmaster": self.settings.postmaster,
        }
        script = re.sub("@([a-z]+)@", lambda found: shlex.quote(values[found[1]]), SCRIPT)
        return [CloudConfig({"fqdn": hostname}), Script(script, name="postfix")]
